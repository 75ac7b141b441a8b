#include "ops/max_pool.h"

namespace resnet::ops {

Op MaxPool::read(const Attributes& attributes) {
  graph::AttributeReader reader(attributes);
  const PoolWindow window = read_window(reader);
  reader.finish();
  return make<MaxPool>(window);
}

std::vector<std::optional<ValueType>> MaxPool::infer(std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {MaxPoolInput::x});
  const kernels::PoolGeometry g = pool_geometry(window_, inputs[MaxPoolInput::x]->shape);
  return {ValueType{pooled_shape(g), DType::f32},
          ValueType{pooled_shape(g), kernels::max_pool_index_dtype(g)}};
}

void MaxPool::gradient(GradientScope& scope) const {
  if (!scope.wants(MaxPoolInput::x)) return;
  const MaxPoolGradientOptions options{window_, scope.type(scope.input(MaxPoolInput::x)).shape};
  scope.set(MaxPoolInput::x,
            scope.emit(make<MaxPoolGradient>(options),
                       {scope.output_gradient(MaxPoolOutput::y), scope.output(MaxPoolOutput::index)})[0]);
}

Cost MaxPool::cost(const Signature& s) const {
  const kernels::PoolGeometry g = pool_geometry(window_, s.inputs[MaxPoolInput::x]->shape);
  return {static_cast<double>(pooled_shape(g).elements()) * static_cast<double>(g.kh * g.kw)};
}

void MaxPool::evaluate(const Signature& s, std::span<const View<const double>> in,
                       std::span<const View<double>> out) const {
  kernels::reference_max_pool(pool_geometry(window_, s.inputs[MaxPoolInput::x]->shape), in[MaxPoolInput::x],
                              out[MaxPoolOutput::y], out[MaxPoolOutput::index]);
}

std::vector<std::optional<ValueType>> MaxPoolGradient::infer(std::span<const ValueType* const> inputs) const {
  using In = MaxPoolGradientInput;
  expect_f32(inputs, {In::dy});
  const kernels::PoolGeometry g = pool_geometry(options_.window, options_.x);
  const Shape y = pooled_shape(g);
  expect(inputs[In::dy]->shape == y && inputs[In::index] != nullptr &&
             *inputs[In::index] == ValueType{y, kernels::max_pool_index_dtype(g)},
         "expected operands of shape " + to_string(y));
  return {ValueType{options_.x, DType::f32}};
}

void MaxPoolGradient::evaluate(const Signature&, std::span<const View<const double>> in,
                               std::span<const View<double>> out) const {
  kernels::reference_max_pool_gradient(pool_geometry(options_.window, options_.x),
                                       in[MaxPoolGradientInput::dy], in[MaxPoolGradientInput::index], out[0]);
}

}  // namespace resnet::ops

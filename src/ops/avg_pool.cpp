#include "ops/avg_pool.h"

namespace resnet::ops {
namespace {

template <bool kGlobal>
kernels::PoolGeometry geometry_of(const PoolWindow& window, const Shape& x) {
  if constexpr (kGlobal) {
    expect(x.rank() == 4 && x.elements() > 0, "expected four extents of at least 1, got " + to_string(x));
    return {.n = x[0], .c = x[1], .h = x[2], .w = x[3], .kh = x[2], .kw = x[3]};
  } else {
    return pool_geometry(window, x);
  }
}

}  // namespace

template <bool kGlobal>
Op AveragePool<kGlobal>::read(const Attributes& attributes) {
  graph::AttributeReader reader(attributes);
  PoolWindow window;
  if constexpr (!kGlobal) {
    window = read_window(reader);
    window.count_padding = reader.integer_or("count_padding", 1) != 0;
  }
  reader.finish();
  return make<AveragePool>(window);
}

template <bool kGlobal>
Attributes AveragePool<kGlobal>::attributes() const {
  if constexpr (kGlobal) return {};
  Attributes attributes = window_attributes(window_);
  attributes.set("count_padding", std::int64_t{window_.count_padding ? 1 : 0});
  return attributes;
}

template <bool kGlobal>
kernels::PoolGeometry AveragePool<kGlobal>::geometry(const Shape& x) const {
  return geometry_of<kGlobal>(window_, x);
}

template <bool kGlobal>
std::vector<std::optional<ValueType>> AveragePool<kGlobal>::infer(
    std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {0});
  return {ValueType{pooled_shape(geometry(inputs[0]->shape)), DType::f32}};
}

template <bool kGlobal>
void AveragePool<kGlobal>::gradient(GradientScope& scope) const {
  if (!scope.wants(0)) return;
  const AveragePoolGradientOptions options{window_, scope.type(scope.input(0)).shape};
  scope.set(0, scope.emit(make<AveragePoolGradient<kGlobal>>(options), {scope.output_gradient(0)})[0]);
}

template <bool kGlobal>
Cost AveragePool<kGlobal>::cost(const Signature& s) const {
  const kernels::PoolGeometry g = geometry(s.inputs[0]->shape);
  return {static_cast<double>(pooled_shape(g).elements()) * static_cast<double>(g.kh * g.kw)};
}

template <bool kGlobal>
void AveragePool<kGlobal>::evaluate(const Signature& s, std::span<const View<const double>> in,
                                    std::span<const View<double>> out) const {
  kernels::reference_avg_pool(geometry(s.inputs[0]->shape), in[0], out[0]);
}

template <bool kGlobal>
kernels::PoolGeometry AveragePoolGradient<kGlobal>::geometry() const {
  return geometry_of<kGlobal>(options_.window, options_.x);
}

template <bool kGlobal>
std::vector<std::optional<ValueType>> AveragePoolGradient<kGlobal>::infer(
    std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {0});
  const Shape dy = pooled_shape(geometry());
  expect(inputs[0]->shape == dy, "expected an output gradient of shape " + to_string(dy));
  return {ValueType{options_.x, DType::f32}};
}

template <bool kGlobal>
void AveragePoolGradient<kGlobal>::evaluate(const Signature&, std::span<const View<const double>> in,
                                            std::span<const View<double>> out) const {
  kernels::reference_avg_pool_gradient(geometry(), in[0], out[0]);
}

template class AveragePool<false>;
template class AveragePool<true>;
template class AveragePoolGradient<false>;
template class AveragePoolGradient<true>;

}  // namespace resnet::ops

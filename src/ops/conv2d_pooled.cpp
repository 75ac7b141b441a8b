#include "ops/conv2d_pooled.h"

namespace resnet::ops {
namespace {

PooledGeometry geometry_of(const Conv2dPooledOptions& options, std::span<const ValueType* const> inputs) {
  const Shape& x = expect_rank(inputs, Conv2dPooledInput::x, 4);
  const Shape& w = expect_rank(inputs, Conv2dPooledInput::w, 4);
  const kernels::ConvGeometry conv = conv_geometry(options.window, x, w);
  return {conv, pool_geometry(options.pool, Shape{conv.n, conv.co, conv.ho(), conv.wo()})};
}

[[noreturn]] void no_evaluation() {
  throw FormatError("a convolution with a fused pool has only a native kernel");
}

void expect_channels(const ValueType* type, const char* what, std::int64_t channels) {
  const ValueType expected{Shape{channels}, DType::f32};
  expect(type != nullptr && *type == expected,
         std::string("expected a ") + what + " of shape " + to_string(expected.shape));
}

}  // namespace

PooledGeometry Conv2dPooled::geometry(std::span<const ValueType* const> inputs) const {
  return geometry_of(options_, inputs);
}

std::vector<std::optional<ValueType>> Conv2dPooled::infer(std::span<const ValueType* const> inputs) const {
  using In = Conv2dPooledInput;
  expect_f32(inputs, {In::x, In::w});
  const auto [conv, pool] = geometry(inputs);
  if (inputs[In::bias] != nullptr) expect_channels(inputs[In::bias], "bias", conv.co);
  expect_channels(inputs[In::gamma], "gamma", conv.co);
  return {ValueType{pooled_shape(pool), DType::f32},
          ValueType{pooled_shape(pool), kernels::max_pool_index_dtype(pool)}, rows_of_channels(3, conv.co)};
}

void Conv2dPooled::evaluate(const Signature&, std::span<const View<const double>>,
                            std::span<const View<double>>) const {
  no_evaluation();
}

PooledGeometry Conv2dPooledWeightGradient::geometry(std::span<const ValueType* const> inputs) const {
  return geometry_of(options_, inputs);
}

std::vector<std::optional<ValueType>> Conv2dPooledWeightGradient::infer(
    std::span<const ValueType* const> inputs) const {
  using In = Conv2dPooledWeightGradientInput;
  expect_f32(inputs, {In::x, In::w, In::dz, In::gradient_coefficients});
  const auto [conv, pool] = geometry(inputs);
  const ValueType map{pooled_shape(pool), DType::f32};
  expect(*inputs[In::dz] == map && (inputs[In::gate] == nullptr || *inputs[In::gate] == map),
         "expected maps of the pool's shape");
  const ValueType index{map.shape, kernels::max_pool_index_dtype(pool)};
  expect(inputs[In::index] != nullptr && *inputs[In::index] == index, "expected the pool's index");
  expect(*inputs[In::gradient_coefficients] == rows_of_channels(4, conv.co),
         "expected a norm's gradient coefficients");
  return {ValueType{inputs[In::w]->shape, DType::f32}};
}

void Conv2dPooledWeightGradient::evaluate(const Signature&, std::span<const View<const double>>,
                                          std::span<const View<double>>) const {
  no_evaluation();
}

}  // namespace resnet::ops

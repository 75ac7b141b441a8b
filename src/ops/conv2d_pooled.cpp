// A convolution whose result only a batch norm and a max pool behind it read, and the gradient of its
// weights: what is chosen from it by the pool is all that is stored. The compiler makes them of conv2d
// (Operation::pooled); they have no gradient rule and no readable evaluation of their own.
#include <array>

#include "kernels/conv/stem/stem.h"
#include "ops/conv_geometry.h"
#include "ops/lists.h"
#include "ops/pool_geometry.h"
#include "ops/rules.h"

namespace resnet::ops {
namespace {

using kernels::ConvGeometry;
using kernels::PoolGeometry;

struct Pooled {
  ConvGeometry conv;
  PoolGeometry pool;
};
Pooled geometry_of(const Attributes& attributes, std::span<const ValueType* const> inputs) {
  const Shape& x = expect_rank(inputs, 0, 4);
  const Shape& w = expect_rank(inputs, 1, 4);
  const ConvGeometry conv = conv_geometry(attributes, x, w);
  return {conv, pool_geometry(attributes, Shape{conv.n, conv.co, conv.ho(), conv.wo()}, "pool_")};
}

class PooledOperation : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  void evaluate(const Signature&, std::span<const View<const double>>,
                std::span<const View<double>>) const override {
    throw FormatError("a convolution that carries a pool has only a native kernel");
  }
  Cost cost(const Signature& s) const override { return {geometry_of(s.attributes, s.inputs).conv.flops()}; }
  bool may_stay_f32(std::size_t operand) const override { return operand == 0; }  // images
};

// x, w, bias, gamma -> what the pool chooses of y, index, moments of y
class Forward final : public PooledOperation {
 public:
  std::string_view name() const noexcept override { return "conv2d_pooled"; }
  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    expect_operands(inputs, 2, 4);
    const auto [conv, pool] = geometry_of(attributes, inputs);
    const Shape channels{conv.co};
    expect(inputs.size() == 4 && (inputs[2] == nullptr || inputs[2]->shape == channels) &&
               inputs[3] != nullptr && inputs[3]->shape == channels,
           "expected a bias and a gamma of shape " + to_string(channels));
    return {{pooled_shape(pool), DType::f32},
            {pooled_shape(pool), kernels::max_pool_index_dtype(pool)},
            rows_of_channels(3, conv.co)};
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0, 4}; }
  bool optional_output(const Attributes&, std::size_t output) const override { return output == 1; }
  Lowering lower(const Signature& s, Isa isa) const override {
    const auto [conv, pool] = geometry_of(s.attributes, s.inputs);
    return {kernels::make_conv_pool(conv, pool, isa, {s.inputs[0]->dtype, s.outputs[0].dtype}),
            "strips in the second level, of which only what the pool chooses is stored"};
  }
};

// x, w, bias, dz, index, [z], gradient table -> dw
class WeightGradient final : public PooledOperation {
 public:
  std::string_view name() const noexcept override { return "conv2d_pooled_weight_gradient"; }
  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    expect(inputs.size() == 7, "expected 7 operands");
    expect_operands(inputs.first(2), 2, 2);
    const auto [conv, pool] = geometry_of(attributes, inputs);
    const ValueType map{pooled_shape(pool), DType::f32};
    expect(*inputs[3] == map && (inputs[5] == nullptr || *inputs[5] == map),
           "expected maps of the pool's shape");
    expect(*inputs[4] == ValueType{map.shape, kernels::max_pool_index_dtype(pool)},
           "expected the pool's index");
    expect(*inputs[6] == rows_of_channels(4, conv.co), "expected a gradient table");
    return {{inputs[1]->shape, DType::f32}};
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0, 3, 5}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    const auto [conv, pool] = geometry_of(s.attributes, s.inputs);
    return {
        kernels::make_conv_pool_weight_gradient(conv, pool, isa, {s.inputs[0]->dtype, s.inputs[3]->dtype}),
        "without y, from products of x with itself"};
  }
};

const Forward kForward;
const WeightGradient kWeightGradient;

}  // namespace

const Operation* pooled_forward(const ConvGeometry& conv, const PoolGeometry& pool) {
  return kernels::conv_pool_serves(conv, pool) ? &kForward : nullptr;
}
const Operation* pooled_weight_gradient(const ConvGeometry& conv, const PoolGeometry& pool) {
  return kernels::conv_pool_serves(conv, pool) ? &kWeightGradient : nullptr;
}

OperationList conv2d_pooled_operations() {
  static const std::array<const Operation*, 2> list = {&kForward, &kWeightGradient};
  return list;
}

}  // namespace resnet::ops

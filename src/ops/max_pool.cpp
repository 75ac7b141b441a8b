#include <array>

#include "ops/lists.h"
#include "ops/pool_geometry.h"

namespace resnet::ops {
namespace {

// x -> y, index of the maximum in its window
class MaxPool final : public Operation {
 public:
  std::string_view name() const noexcept override { return "max_pool"; }
  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    expect_operands(inputs, 1, 1);
    const kernels::PoolGeometry g = pool_geometry(attributes, inputs[0]->shape);
    return {{pooled_shape(g), DType::f32}, {pooled_shape(g), kernels::max_pool_index_dtype(g)}};
  }
  void gradient(GradientScope& scope) const override {
    if (!scope.wants(0)) return;
    scope.set(0, scope.emit("max_pool_gradient",
                            with_extents(scope.node().attributes, scope.type(scope.input(0)).shape),
                            {scope.output_gradient(0), scope.output(1)})[0]);
  }
  Cost cost(const Signature& s) const override {
    const kernels::PoolGeometry g = pool_geometry(s.attributes, s.inputs[0]->shape);
    return {static_cast<double>(pooled_shape(g).elements() * g.kh * g.kw)};
  }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_max_pool(pool_geometry(s.attributes, s.inputs[0]->shape), in[0], out[0], out[1]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0, 1}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    return {kernels::make_max_pool(pool_geometry(s.attributes, s.inputs[0]->shape), isa, s.inputs[0]->dtype),
            "one sweep"};
  }
  bool optional_output(const Attributes&, std::size_t output) const override { return output == 1; }
  FusionRole role() const override { return FusionRole::max_pool; }
};

class MaxPoolGradient final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return "max_pool_gradient"; }
  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    expect_operands(inputs, 2, 2, 1);
    const Shape x(attributes.integers("extents"));
    const kernels::PoolGeometry g = pool_geometry(attributes, x);
    expect(inputs[0]->shape == pooled_shape(g) && inputs[1]->shape == pooled_shape(g) &&
               inputs[1]->dtype == kernels::max_pool_index_dtype(g),
           "expected operands of shape " + to_string(pooled_shape(g)));
    return {{x, DType::f32}};
  }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_max_pool_gradient(pool_geometry(s.attributes, s.outputs[0].shape), in[0], in[1],
                                         out[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0, 2}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    return {kernels::make_max_pool_gradient(pool_geometry(s.attributes, s.outputs[0].shape), isa,
                                            s.inputs[0]->dtype),
            "gathered, one sweep"};
  }
  FusionRole role() const override { return FusionRole::max_pool_gradient; }
};

}  // namespace

OperationList max_pool_operations() {
  static const MaxPool forward;
  static const MaxPoolGradient gradient;
  static const std::array<const Operation*, 2> list = {&forward, &gradient};
  return list;
}

}  // namespace resnet::ops

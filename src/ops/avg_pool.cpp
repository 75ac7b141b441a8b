// avg_pool and global_avg_pool: the latter is the former with the whole map as its window.
#include <array>

#include "ops/lists.h"
#include "ops/pool_geometry.h"

namespace resnet::ops {
namespace {

kernels::PoolGeometry global_geometry(const Shape& x) {
  expect(x.rank() == 4 && x.elements() > 0, "expected four extents of at least 1, got " + to_string(x));
  return {.n = x[0], .c = x[1], .h = x[2], .w = x[3], .kh = x[2], .kw = x[3]};
}

template <bool kGlobal>
kernels::PoolGeometry geometry(const Attributes& attributes, const Shape& x) {
  if constexpr (kGlobal) return global_geometry(x);
  return pool_geometry(attributes, x);
}

template <bool kGlobal>
class AvgPool final : public Operation {
 public:
  std::string_view name() const noexcept override { return kGlobal ? "global_avg_pool" : "avg_pool"; }
  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    expect_operands(inputs, 1, 1);
    return {{pooled_shape(geometry<kGlobal>(attributes, inputs[0]->shape)), DType::f32}};
  }
  void gradient(GradientScope& scope) const override {
    if (!scope.wants(0)) return;
    scope.set(0, scope.emit(std::string(name()) + "_gradient",
                            with_extents(scope.node().attributes, scope.type(scope.input(0)).shape),
                            {scope.output_gradient(0)})[0]);
  }
  Cost cost(const Signature& s) const override {
    const kernels::PoolGeometry g = geometry<kGlobal>(s.attributes, s.inputs[0]->shape);
    return {static_cast<double>(pooled_shape(g).elements() * g.kh * g.kw)};
  }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_avg_pool(geometry<kGlobal>(s.attributes, s.inputs[0]->shape), in[0], out[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0, 1}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    return {
        kernels::make_avg_pool(geometry<kGlobal>(s.attributes, s.inputs[0]->shape), isa, s.inputs[0]->dtype),
        "one sweep"};
  }
};

template <bool kGlobal>
class AvgPoolGradient final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override {
    return kGlobal ? "global_avg_pool_gradient" : "avg_pool_gradient";
  }
  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    expect_operands(inputs, 1, 1);
    const Shape x(attributes.integers("extents"));
    const Shape dy = pooled_shape(geometry<kGlobal>(attributes, x));
    expect(inputs[0]->shape == dy, "expected an output gradient of shape " + to_string(dy));
    return {{x, DType::f32}};
  }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_avg_pool_gradient(geometry<kGlobal>(s.attributes, s.outputs[0].shape), in[0], out[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0, 1}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    return {kernels::make_avg_pool_gradient(geometry<kGlobal>(s.attributes, s.outputs[0].shape), isa,
                                            s.inputs[0]->dtype),
            "one sweep"};
  }
};

}  // namespace

OperationList avg_pool_operations() {
  static const AvgPool<false> window;
  static const AvgPool<true> global;
  static const AvgPoolGradient<false> window_gradient;
  static const AvgPoolGradient<true> global_gradient;
  static const std::array<const Operation*, 4> list = {&window, &global, &window_gradient, &global_gradient};
  return list;
}

}  // namespace resnet::ops

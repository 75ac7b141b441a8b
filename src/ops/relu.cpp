#include <array>

#include "kernels/elementwise/elementwise.h"
#include "ops/elementwise.h"
#include "ops/lists.h"

namespace resnet::ops {
namespace {

class Relu final : public Operation {
 public:
  std::string_view name() const noexcept override { return "relu"; }
  std::vector<ValueType> infer(const Attributes&, std::span<const ValueType* const> inputs) const override {
    return infer_elementwise(inputs, 1);
  }
  void gradient(GradientScope& scope) const override {
    if (scope.wants(0))
      scope.set(0, scope.emit("relu_gradient", {}, {scope.output_gradient(0), scope.output(0)})[0]);
  }
  Cost cost(const Signature& s) const override { return {elements_of(s)}; }
  void evaluate(const Signature&, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_relu(in[0], out[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0, 1}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    return {kernels::make_relu(s.inputs[0]->shape.elements(), isa, s.inputs[0]->dtype),
            "no neighbour carries it"};
  }
  std::vector<std::size_t> in_place(const Attributes&, std::size_t) const override { return {0}; }
  FusionRole role() const override { return FusionRole::relu; }
};

// dy, y -> dx = dy where y > 0
class ReluGradient final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return "relu_gradient"; }
  std::vector<ValueType> infer(const Attributes&, std::span<const ValueType* const> inputs) const override {
    return infer_elementwise(inputs, 2);
  }
  void evaluate(const Signature&, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_relu_gradient(in[0], in[1], out[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0, 1, 2}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    return {kernels::make_relu_gradient(s.inputs[0]->shape.elements(), isa, s.inputs[0]->dtype),
            "no neighbour carries it"};
  }
  std::vector<std::size_t> in_place(const Attributes&, std::size_t) const override { return {0}; }
  FusionRole role() const override { return FusionRole::relu_gradient; }
};

}  // namespace

OperationList relu_operations() {
  static const Relu forward;
  static const ReluGradient gradient;
  static const std::array<const Operation*, 2> list = {&forward, &gradient};
  return list;
}

}  // namespace resnet::ops

#include <array>

#include "kernels/elementwise/elementwise.h"
#include "ops/elementwise.h"
#include "ops/lists.h"

namespace resnet::ops {
namespace {

class Add final : public Operation {
 public:
  std::string_view name() const noexcept override { return "add"; }
  std::vector<std::string_view> input_names() const override { return {"a", "b"}; }
  std::vector<ValueType> infer(const Attributes&, std::span<const ValueType* const> inputs) const override {
    return infer_elementwise(inputs, 2);
  }
  void gradient(GradientScope& scope) const override {
    for (std::size_t i = 0; i < 2; ++i) {
      if (scope.wants(i)) scope.set(i, scope.output_gradient(0));
    }
  }
  // The sum of two values that each sum to zero would too, but a bias in front of an addition has
  // another norm behind neither of them: nothing in the zoo needs that case.
  Cost cost(const Signature& s) const override { return {elements_of(s)}; }
  void evaluate(const Signature&, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_add(in[0], in[1], out[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0, 1, 2}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    return {kernels::make_add(s.inputs[0]->shape.elements(), isa, s.inputs[0]->dtype),
            "no neighbour carries it"};
  }
  std::vector<std::size_t> in_place(const Attributes&, std::size_t) const override { return {0, 1}; }
  FusionRole role() const override { return FusionRole::add; }
};

}  // namespace

OperationList add_operations() {
  static const Add forward;
  static const std::array<const Operation*, 1> list = {&forward};
  return list;
}

}  // namespace resnet::ops

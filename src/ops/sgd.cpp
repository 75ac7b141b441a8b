// The optimiser's update: param - lr * grad.
#include <array>

#include "kernels/optimizer/optimizer.h"
#include "ops/lists.h"
#include "ops/rules.h"

namespace resnet::ops {
namespace {

// param, gradient, lr -> updated param
class Sgd final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return "sgd"; }
  std::vector<ValueType> infer(const Attributes&, std::span<const ValueType* const> inputs) const override {
    expect_operands(inputs, 3, 3);
    expect(inputs[0]->shape == inputs[1]->shape && inputs[2]->shape == Shape{1},
           "expected a parameter, a gradient of its shape and one learning rate");
    return {*inputs[0]};
  }
  void evaluate(const Signature&, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_sgd(in[0], in[1], in[2][0], out[0]);
  }
  Lowering lower(const Signature& s, Isa isa) const override {
    return {kernels::make_sgd(s.inputs[0]->shape.elements(), isa), "in place"};
  }
  std::vector<std::size_t> in_place(const Attributes&, std::size_t) const override { return {0}; }
};

}  // namespace

OperationList sgd_operations() {
  static const Sgd sgd;
  static const std::array<const Operation*, 1> list = {&sgd};
  return list;
}

}  // namespace resnet::ops

// Sum over all axes but the channels: the gradient of a bias.
#include <array>

#include "kernels/elementwise/elementwise.h"
#include "ops/lists.h"
#include "ops/rules.h"

namespace resnet::ops {
namespace {

class ChannelSum final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return "channel_sum"; }
  std::vector<ValueType> infer(const Attributes&, std::span<const ValueType* const> inputs) const override {
    expect_operands(inputs, 1, 1);
    const Shape& x = inputs[0]->shape;
    expect(x.rank() == 2 || x.rank() == 4, "expected an operand of 2 or 4 axes, got " + to_string(x));
    return {{Shape{x[1]}, DType::f32}};
  }
  void evaluate(const Signature&, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_channel_sum(in[0], out[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    const Shape& x = s.inputs[0]->shape;
    return {kernels::make_channel_sum(x[0] * pixels_of(x), x[1], isa, s.inputs[0]->dtype),
            "fixed chunks, merged in double"};
  }
};

}  // namespace

OperationList channel_sum_operations() {
  static const ChannelSum sum;
  static const std::array<const Operation*, 1> list = {&sum};
  return list;
}

}  // namespace resnet::ops

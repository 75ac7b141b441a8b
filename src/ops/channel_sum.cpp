#include "ops/channel_sum.h"

#include "kernels/elementwise/elementwise.h"
#include "ops/rules.h"

namespace resnet::ops {

std::vector<std::optional<ValueType>> ChannelSum::infer(std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {0});
  const Shape& x = inputs[0]->shape;
  expect(x.rank() == 2 || x.rank() == 4, "expected an operand of 2 or 4 axes, got " + to_string(x));
  return {ValueType{Shape{x[1]}, DType::f32}};
}

void ChannelSum::evaluate(const Signature&, std::span<const View<const double>> in,
                          std::span<const View<double>> out) const {
  kernels::reference_channel_sum(in[0], out[0]);
}

}  // namespace resnet::ops

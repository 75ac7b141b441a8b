#include "ops/average.h"

#include "kernels/optimizer/optimizer.h"

namespace resnet::ops {

std::vector<std::optional<ValueType>> Average::infer(std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {AverageInput::average, AverageInput::value, AverageInput::share});
  const ValueType& average = *inputs[AverageInput::average];
  expect(*inputs[AverageInput::value] == average, "expected an average of the value's shape");
  expect(inputs[AverageInput::share]->shape == Shape{1}, "expected a share of one number");
  return {average};
}

void Average::evaluate(const Signature&, std::span<const View<const double>> in,
                       std::span<const View<double>> out) const {
  kernels::reference_average({.average = in[AverageInput::average],
                              .value = in[AverageInput::value],
                              .share = in[AverageInput::share],
                              .updated = out[0]});
}

}  // namespace resnet::ops

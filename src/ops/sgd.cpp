#include "ops/sgd.h"

#include "kernels/optimizer/optimizer.h"
#include "ops/rules.h"

namespace resnet::ops {

std::vector<std::optional<ValueType>> Sgd::infer(std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {SgdInput::parameter, SgdInput::gradient, SgdInput::lr});
  expect(inputs[SgdInput::parameter]->shape == inputs[SgdInput::gradient]->shape &&
             inputs[SgdInput::lr]->shape == Shape{1},
         "expected a parameter, a gradient of its shape and one learning rate");
  return {*inputs[SgdInput::parameter]};
}

void Sgd::evaluate(const Signature&, std::span<const View<const double>> in,
                   std::span<const View<double>> out) const {
  kernels::reference_sgd(in[SgdInput::parameter], in[SgdInput::gradient], in[SgdInput::lr][0], out[0]);
}

}  // namespace resnet::ops

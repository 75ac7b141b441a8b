#include "ops/sgd.h"

namespace resnet::ops {

std::vector<std::optional<ValueType>> Sgd::infer(std::span<const ValueType* const> inputs) const {
  expect_if(update_.momentum, inputs, SgdInput::momentum_buffer);
  return infer_update(inputs, update_.momentum ? 1 : 0);
}

void Sgd::evaluate(const Signature&, std::span<const View<const double>> in,
                   std::span<const View<double>> out) const {
  kernels::SgdOperands operands{.param = in[SgdInput::parameter],
                                .grad = in[SgdInput::gradient],
                                .step = in[SgdInput::step],
                                .buffer = {},
                                .updated = out[0],
                                .updated_buffer = {}};
  if (update_.momentum) {
    operands.buffer = in[SgdInput::momentum_buffer];
    operands.updated_buffer = out[1];
  }
  kernels::reference_sgd(update_, operands);
}

}  // namespace resnet::ops

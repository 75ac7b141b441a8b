#include "ops/adamw.h"

namespace resnet::ops {

std::vector<std::optional<ValueType>> AdamW::infer(std::span<const ValueType* const> inputs) const {
  return infer_update(inputs, 2);
}

void AdamW::evaluate(const Signature&, std::span<const View<const double>> in,
                     std::span<const View<double>> out) const {
  kernels::reference_adamw(update_, {.param = in[AdamWInput::parameter],
                                     .grad = in[AdamWInput::gradient],
                                     .step = in[AdamWInput::step],
                                     .exp_avg = in[AdamWInput::exp_avg],
                                     .exp_avg_sq = in[AdamWInput::exp_avg_sq],
                                     .updated = out[0],
                                     .updated_exp_avg = out[1],
                                     .updated_exp_avg_sq = out[2]});
}

}  // namespace resnet::ops

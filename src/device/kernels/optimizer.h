// Updates of one parameter or of several (resnet/optimizer.h has the formulas), in place or not, and of averages.
#pragma once

#include "device/args.h"
#include "device/kernels/elementwise.h"
#include "device/kernels/lines.h"
#include "device/words.h"

namespace resnet::device {

/// Places in the vector of what changes from step to step, as kernels::StepValue has them.
inline constexpr int kStepLr = 0, kStepMomentum = 1, kStepUpdate = 2;

RESNET_WORD void sgd_by(const UpdateArgs& g, const OfBlocks& of) {
  const auto lr = static_cast<float>(static_cast<double>(g.step[kStepLr]) * g.lr_factor);
  const float momentum = g.momentum != 0 ? g.step[kStepMomentum] : 0.0F;
  const bool first = g.momentum != 0 && g.step[kStepUpdate] == 1.0F;
  const auto decay = static_cast<float>(g.weight_decay), gain = static_cast<float>(1.0 - g.dampening);
  const std::int64_t stride = of.stride();
  for (std::int64_t i = of.first(); i < g.elements; i += stride) {
    const float parameter = g.parameter[i];
    const float d = (g.gradient == nullptr ? 0.0F : g.gradient[i]) + decay * parameter;
    float direction = d;
    if (g.momentum != 0) {
      const float b = first ? d : momentum * g.slot0[i] + gain * d;
      direction = g.nesterov != 0 ? d + momentum * b : b;
      g.updated0[i] = b;
    }
    const float updated = parameter - lr * direction;
    g.updated[i] = updated;
    expect_finite(g.nonfinite, updated);
  }
}

RESNET_WORD void adamw_by(const UpdateArgs& g, const OfBlocks& of) {
  const double lr = static_cast<double>(g.step[kStepLr]) * g.lr_factor;
  const auto beta1 = static_cast<double>(g.step[kStepMomentum]),
             update = static_cast<double>(g.step[kStepUpdate]);
  const auto gain1 = static_cast<float>(1.0 - beta1), gain2 = static_cast<float>(1.0 - g.beta2);
  const auto shrink = static_cast<float>(1.0 - lr * g.weight_decay), eps = static_cast<float>(g.eps);
  const auto rate = static_cast<float>(lr / (1.0 - pow(beta1, update)));
  const auto root_factor = static_cast<float>(1.0 / sqrt(1.0 - pow(g.beta2, update)));
  const std::int64_t stride = of.stride();
  for (std::int64_t i = of.first(); i < g.elements; i += stride) {
    const float d = g.gradient == nullptr ? 0.0F : g.gradient[i];
    const float m = g.slot0[i] + gain1 * (d - g.slot0[i]);
    const float v = g.slot1[i] + gain2 * (d * d - g.slot1[i]);
    const float updated = shrink * g.parameter[i] - rate * (m / (sqrtf(v) * root_factor + eps));
    g.updated0[i] = m;
    g.updated1[i] = v;
    g.updated[i] = updated;
    expect_finite(g.nonfinite, updated);
    expect_finite(g.nonfinite, v);  // an infinite one makes the step zero
  }
}

/// Of `parameter`, whatever that is; `step` is its share.
RESNET_WORD void average_by(const UpdateArgs& g, const OfBlocks& of) {
  const float share = g.step[0];
  if (share == 0.0F && g.updated0 == g.slot0) return;
  const std::int64_t stride = of.stride();
  for (std::int64_t i = of.first(); i < g.elements; i += stride) {
    const float value = g.parameter[i], average = g.slot0[i];
    g.updated0[i] = share == 1.0F ? value : average + share * (value - average);
  }
}

RESNET_WORD void sgd(const UpdateArgs& g) {
  sgd_by(g, {block(), blocks()});
}
RESNET_WORD void adamw(const UpdateArgs& g) {
  adamw_by(g, {block(), blocks()});
}

RESNET_WORD void average(const UpdateArgs& g) {
  average_by(g, {block(), blocks()});
}

RESNET_WORD void sgd_all(const UpdatesArgs& g) {
  const OwnLine own(g.first_block, g.count);
  sgd_by(UpdateArgs(g.updates[own.line]), own.of);
}
RESNET_WORD void adamw_all(const UpdatesArgs& g) {
  const OwnLine own(g.first_block, g.count);
  adamw_by(UpdateArgs(g.updates[own.line]), own.of);
}
RESNET_WORD void average_all(const UpdatesArgs& g) {
  const OwnLine own(g.first_block, g.count);
  average_by(UpdateArgs(g.updates[own.line]), own.of);
}

}  // namespace resnet::device

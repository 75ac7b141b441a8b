// The vector sweeps of the updates, each over one chunk. Products and sums are rounded one after the other,
// as a reader computes them; every output may be the memory of its input. Each but the average's gives whether
// all that it wrote is finite.
#pragma once

#include <cstdint>

#include "base/machine.h"

namespace resnet::kernels {

/// updated = param - lr * grad.
struct SgdStep {
  const float *param, *grad;
  float* updated;
  float lr;
};

/// SGD with weight decay, and momentum if there is a buffer: with g = grad_factor * grad + decay * param,
///   b = keep * buffer + gain * g,  updated = param - lr * (of_g * g + of_b * b).
/// Without a buffer b is g.
struct SgdMomentumStep {
  const float *param, *grad, *buffer;
  float *updated, *updated_buffer;
  float lr, grad_factor, decay;
  float keep, gain, of_g, of_b;
};

/// With g = grad_factor * grad,
///   m = exp_avg + gain1 * (g - exp_avg),  v = exp_avg_sq + gain2 * (g * g - exp_avg_sq),
///   updated = shrink * param - lr * (m / (sqrt(v) * root_factor + eps)).
/// The gains are 1 - beta: f32 has 0.001 to eight digits, but 1 - 0.999 to five.
struct AdamWStep {
  const float *param, *grad, *exp_avg, *exp_avg_sq;
  float *updated, *updated_exp_avg, *updated_exp_avg_sq;
  float lr, grad_factor, shrink;
  float gain1, gain2, root_factor, eps;
};

/// updated = average + share * (value - average).
struct AverageStep {
  const float *average, *value;
  float* updated;
  float share;
};

struct OptimizerFunctions {
  bool (*sgd)(const SgdStep& step, std::int64_t count);
  bool (*sgd_decay)(const SgdMomentumStep& step, std::int64_t count);
  bool (*sgd_momentum)(const SgdMomentumStep& step, std::int64_t count);
  bool (*adamw)(const AdamWStep& step, std::int64_t count);
  void (*average)(const AverageStep& step, std::int64_t count);
};
const OptimizerFunctions& optimizer_functions(Isa isa);

}  // namespace resnet::kernels

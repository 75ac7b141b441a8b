// The vector sweeps of batch normalisation: each runs over one chunk of a ChannelGrid. Tables hold one
// number for each place of the period.
#pragma once

#include <cstdint>

#include "base/machine.h"

namespace resnet::kernels {

/// sums [2][period]: of x - shift and of its square. `block` is working memory of the same size.
struct NormSums {
  const float *x;
  std::int64_t count, period;
  const float *shift;
  float *sums, *block;
};

/// z = (x - mean) * scale + offset, + residual unless that is null, then the ReLU.
struct NormApply {
  const float *x, *residual;
  std::int64_t count, period;
  const float *mean, *scale, *offset;
  bool relu;
  float *z;
};

/// sums [3][period]: of dz, dz * (x - mean) and x - mean, where dz counts only at z > 0 unless z is null.
/// `block` is working memory of the same size.
struct NormGradientSums {
  const float *dz, *x, *z;
  std::int64_t count, period;
  const float *mean;
  float *sums, *block;
};

/// dx = dz * scale_dz + (x - mean) * scale_x + offset; dresidual (may be null) = dz; dz masked as above.
struct NormGradientApply {
  const float *dz, *x, *z;
  std::int64_t count, period;
  const float *mean, *scale_dz, *scale_x, *offset;
  float *dx, *dresidual;
};

struct NormFunctions {
  void (*sums)(const NormSums &);
  void (*apply)(const NormApply &);
  void (*gradient_sums)(const NormGradientSums &);
  void (*gradient_apply)(const NormGradientApply &);
};

const NormFunctions &norm_functions(Isa isa);

}  // namespace resnet::kernels

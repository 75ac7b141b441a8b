// The vector sweeps of batch normalisation: each runs over one chunk of a ChannelGrid. Tables hold one
// number for each place of the period.
#pragma once

#include <cstdint>

#include "base/machine.h"

namespace resnet::kernels {

/// sum[j], squares[j]: of x - shift.
struct NormSums {
  const float *x;
  std::int64_t count, period;
  const float *shift;
  float *sum, *squares;
};

/// z = (x - mean) * scale + offset, + residual unless that is null, then the ReLU.
struct NormApply {
  const float *x, *residual;
  std::int64_t count, period;
  const float *mean, *scale, *offset;
  bool relu;
  float *z;
};

/// sum_dz[j], sum_dz_x[j], sum_x[j]: of dz, dz * (x - mean) and x - mean, where dz counts only at z > 0
/// unless z is null.
struct NormGradientSums {
  const float *dz, *x, *z;
  std::int64_t count, period;
  const float *mean;
  float *sum_dz, *sum_dz_x, *sum_x;
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

// The vector sweeps of batch normalisation: each runs over one chunk of a ChannelGrid. Coefficients
// are vectors of a number for each place of the period.
#pragma once

#include <cstdint>

#include "base/machine.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

/// Activations are stored as T.
/// sums [2][period]: of x - shift and of its square. `block` is working memory of the same size.
template <class T>
struct NormSums {
  const T *x;
  std::int64_t count, period;
  const float *shift;
  float *sums, *block;
};

/// z = (x - mean) * scale + offset, + residual unless that is null, then the ReLU. `relu_mask` may be null:
/// bits of z > 0 or NaN.
template <class T>
struct NormApply {
  const T *x, *residual;
  std::int64_t count, period;
  const float *mean, *scale, *offset;
  bool relu;
  T *z;
  std::uint8_t *relu_mask;
};

/// sums [3][period]: of dz, dz * (x - mean) and x - mean, where dz counts only at z > 0 or NaN, unless z is
/// null, where bits of the mask are set unless those are, or where z = (x - mean) * gate_scale + gate_offset
/// is unless those are. `block` is working memory of the same size.
template <class T>
struct NormGradientSums {
  const T *dz, *x, *z;
  const std::uint8_t *relu_mask;
  const float *gate_scale, *gate_offset;
  std::int64_t count, period;
  const float *mean;
  float *sums, *block;
};

/// dx = dz * scale_dz + (x - mean) * scale_x + offset; dresidual (may be null) = dz; dz masked as above.
template <class T>
struct NormGradientApply {
  const T *dz, *x, *z;
  const std::uint8_t *relu_mask;
  const float *gate_scale, *gate_offset;
  std::int64_t count, period;
  const float *mean, *scale_dz, *scale_x, *offset;
  T *dx, *dresidual;
};

template <class T>
struct NormFunctions {
  void (*sums)(const NormSums<T> &);
  void (*apply)(const NormApply<T> &);
  void (*gradient_sums)(const NormGradientSums<T> &);
  void (*gradient_apply)(const NormGradientApply<T> &);
};

template <class T>
const NormFunctions<T> &norm_functions(Isa isa);
template <>
const NormFunctions<float> &norm_functions<float>(Isa isa);
template <>
const NormFunctions<BFloat16> &norm_functions<BFloat16>(Isa isa);

}  // namespace resnet::kernels

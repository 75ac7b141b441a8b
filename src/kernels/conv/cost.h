// Costs of convolution algorithms, in multiply-adds at the machine's peak.
#pragma once

#include "kernels/conv/conv.h"

namespace resnet::kernels::conv {

/// Of one multiply-add: the GEMMs of all algorithms run at about 0.95 of the peak, those of bf16 in half the
/// time.
inline double product_cost(DType storage) noexcept {
  constexpr double kProducts = 0.95;
  return (storage == DType::bf16 ? 0.5 : 1.0) / kProducts;
}

}  // namespace resnet::kernels::conv

// 3x3 convolutions at stride 1 by Winograd's minimal filtering: the map is cut into tiles of m x m
// outputs, whose (m + 2)^2 transformed inputs meet the transformed weights point by point, in as many
// matrix products. F(3x3) needs 2.78 products an output for 9, F(4x4) 2.25, F(6x6) 1.78.
//
// The interpolation points are those whose errors stay near the direct one's: relative l2 error of f32 with
// 128 channels 4.4e-7 (direct), 6.1e-7 (m = 3: 0, 1, -1/2, -2, inf), 8.6e-7 (m = 4: 0, +-2/3, +-3/2,
// inf); the usual 0, +-1, +-2, inf has 1.9e-6, and m = 6 3.7e-6, which is why it serves gradients alone.
//
// At stride 2 the taps fall apart by parity: F(3, 2) along the even pixels of an axis, plain products along
// the odd ones, 49 products for 81 and additions only.
#pragma once

#include <span>

#include "kernels/conv/conv.h"

namespace resnet::kernels::conv {

/// F(3x3), F(4x4), F(6x6) and parity.
std::span<const ConvAlgorithm* const> winograd_algorithms() noexcept;

}  // namespace resnet::kernels::conv

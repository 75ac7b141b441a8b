// The offsets of index tables.
#pragma once

#include <cstdint>
#include <limits>

#include "resnet/error.h"

namespace resnet::kernels {

/// The largest: sums of a few fit 32 bits.
inline constexpr std::int64_t kMostOffset = std::numeric_limits<std::int32_t>::max() / 4;

/// Throws ShapeError if an offset is too large.
inline std::int32_t narrow(std::int64_t offset) {
  if (offset < -kMostOffset || offset > kMostOffset)
    throw ShapeError("convolution: one line of the image is too long");
  return static_cast<std::int32_t>(offset);
}

}  // namespace resnet::kernels

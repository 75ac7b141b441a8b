// Numbers that are NaN or infinite.
#pragma once

#include <cstdint>

#include "resnet/tensor.h"

namespace resnet {

enum class NonFiniteKind : std::uint8_t { none, infinite, nan };

/// Of the first of `count` elements that is not finite; none if there is no such one, or elements of this
/// type always are. At memory speed where there is none.
NonFiniteKind nonfinite_in(const void* elements, DType dtype, std::int64_t count) noexcept;

inline NonFiniteKind nonfinite_in(const Tensor& tensor) noexcept {
  return nonfinite_in(tensor.raw(), tensor.dtype(), tensor.shape().elements());
}

}  // namespace resnet

// The index tables of an implicit GEMM: which elements of an image the product reads, and where its results
// stand.
#pragma once

#include <cstdint>

namespace resnet::kernels {

/// a / b rounded up, of numbers that are not negative.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept {
  return (a + b - 1) / b;
}

/// One row of the left operand: offsets from the origin of its block, in elements of the problem's source and
/// result. Where a problem is one of words (matmul/matmul_simd.h), those are the elements of its source.
struct Row {
  std::int32_t in = 0;
  std::int32_t out = 0;
  bool operator==(const Row&) const = default;
};

/// Columns of the left operand that are neighbours both in the source and in the weights.
struct Segment {
  std::int32_t source = 0;  // floats from Row::in
  std::int32_t k = 0;       // first column, counted in the packed order of taps
  std::int32_t length = 0;  // columns
  bool operator==(const Segment&) const = default;
};

}  // namespace resnet::kernels

// The vector loops of pooling: each runs over some rows of its result, numbered over all images.
#pragma once

#include <cstdint>

#include "base/machine.h"
#include "kernels/pool/pool.h"

namespace resnet::kernels {

/// [first, last), clipped to the map.
struct Range {
  std::int64_t first = 0, last = 0;
  std::int64_t size() const noexcept { return last - first; }
};

/// A pooling, and for every row and column which ones meet it: the pixels inside each window (of the
/// output row or column), and the windows that cover each pixel (of the input row or column).
struct PoolTables {
  PoolGeometry g;
  const Range *window_rows, *window_columns;      // [ho], [wo]
  const Range *covering_rows, *covering_columns;  // [h], [w]
};

struct PoolFunctions {
  /// `index` may be null; else u8 while kh * kw <= 256, i32 above.
  void (*max)(const PoolTables&, Range rows, const float* x, float* y, void* index);
  void (*max_gradient)(const PoolTables&, Range rows, const float* dy, const void* index, float* dx);
  void (*avg)(const PoolTables&, Range rows, const float* x, float* y);
  void (*avg_gradient)(const PoolTables&, Range rows, const float* dy, float* dx);
};

const PoolFunctions& pool_functions(Isa isa);

}  // namespace resnet::kernels

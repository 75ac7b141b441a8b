// The vector loops of pooling: each runs over some rows of its result, numbered over all images.
#pragma once

#include <cstdint>
#include <vector>

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
  explicit PoolTables(const PoolGeometry& geometry);

  /// How many rows of y have windows that begin above row x_row of x; both are numbered over all images.
  std::int64_t rows_above(std::int64_t x_row) const noexcept;

  PoolGeometry g;
  std::vector<Range> window_rows, window_columns;      // [ho], [wo]
  std::vector<Range> covering_rows, covering_columns;  // [h], [w]
};

/// On maps stored as T.
template <class T>
struct MaxPoolFunctions {
  /// `index` may be null; else u8 while kh * kw <= 256, i32 above. With `sign`, a factor for each channel
  /// that may be null, y is the x whose product with it is largest.
  void (*max)(const PoolTables&, Range rows, const T* x, const float* sign, T* y, void* index);
  /// `dx` points at the first of its rows. Where `y` is given, dy counts only where y > 0. `ahead` may be
  /// null: what will be read next, as large as dx.
  void (*max_gradient)(const PoolTables&, Range rows, const T* dy, const void* index, const T* y, T* dx,
                       const T* ahead);
  /// Sums for each channel, of dy and, `stride` further, of dy times the chosen x - mean, over all windows of
  /// `rows`; dy counts as above. `block` is working memory, two numbers for each channel.
  void (*chosen_sums)(const PoolTables&, Range rows, const T* dy, const void* index, const T* y, const T* x,
                      const float* mean, float* sums, std::int64_t stride, float* block);
};

template <class T>
struct AvgPoolFunctions {
  /// `sums` is working memory, a number for each channel.
  void (*avg)(const PoolTables&, Range rows, const T* x, T* y, float* sums);
  void (*avg_gradient)(const PoolTables&, Range rows, const T* dy, T* dx, float* sums);
};

template <class T>
const MaxPoolFunctions<T>& max_pool_functions(Isa isa);
template <>
const MaxPoolFunctions<float>& max_pool_functions<float>(Isa isa);
template <>
const MaxPoolFunctions<BFloat16>& max_pool_functions<BFloat16>(Isa isa);

template <class T>
const AvgPoolFunctions<T>& avg_pool_functions(Isa isa);
template <>
const AvgPoolFunctions<float>& avg_pool_functions<float>(Isa isa);
template <>
const AvgPoolFunctions<BFloat16>& avg_pool_functions<BFloat16>(Isa isa);

}  // namespace resnet::kernels

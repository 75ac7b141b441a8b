// The vector loops between a convolution and its pool. What is in scratch is f32 and of one panel of output
// channels: [pixel or window][MatmulFunctions::columns]. The sums of a weight gradient are of words: of f32,
// or where what is pooled is bf16 of two pixels' numbers in bf16, as pair() makes them of x.
#pragma once

#include <cstdint>

#include "base/machine.h"
#include "kernels/index_table.h"
#include "kernels/pool/pool_simd.h"

namespace resnet::kernels::conv {

/// Of each window the y with the largest gamma * y, and its place. Operands are of type T.
template <class T>
struct ChooseArgs {
  const PoolTables* pool = nullptr;
  Range windows;                 // rows of an image's windows
  const float* y = nullptr;      // some rows of the image, ...
  std::int64_t y_row = 0;        // ... of which this is the first
  std::int64_t channels = 0;     // of the panel
  const float* gamma = nullptr;  // [channels]
  std::int64_t at = 0;           // of the image and the panel in what follows
  T* chosen = nullptr;
  void* index = nullptr;  // may be null
};

/// The gradient of each window, and the place where it belongs, -1 where it does not count: of all panels,
/// [panel][window][MatmulFunctions::columns].
template <class T>
struct WindowArgs {
  const PoolTables* pool = nullptr;
  Range windows;
  std::int64_t at = 0;  // of the image in what follows
  const T* dz = nullptr;
  const void* index = nullptr;
  const T* z = nullptr;  // dz counts where it is above 0; may be null: everywhere
  float* gradient = nullptr;
  std::int32_t* place = nullptr;
};

/// The gradients of a panel at their places.
struct SpreadArgs {
  const PoolTables* pool = nullptr;
  Range rows;                     // of an image
  std::int64_t windows_from = 0;  // first row of the windows in what follows
  const float* gradient = nullptr;
  const std::int32_t* place = nullptr;
  std::int64_t channels = 0;
  float* dy = nullptr;
};

/// Neighbours in a row of the result: where the first stands in x and in dy, in floats.
struct PixelRun {
  std::int32_t in = 0, out = 0, count = 0;
};

/// sums[columns[i].out + j] += sum_p x[p.in + columns[i].in] * dy[p.out + j] over the pixels p of all runs
struct RunArgs {
  const float* x = nullptr;        // words
  std::int64_t x_step = 0;         // from a pixel to the next
  float* dy = nullptr;             // not of words, which it is afterwards
  const PixelRun* runs = nullptr;  // few enough that their dy stays in L1
  std::int64_t run_count = 0;
  const Row* columns = nullptr;
  std::int64_t column_count = 0;
  std::int64_t channels = 0;
  float* sums = nullptr;
};

/// sums[i][j] += sum_p left[i][p] * right[j][p + lane] for each lane of a vector, p every `step` words
struct GramArgs {
  const float* const* left = nullptr;
  std::int64_t left_count = 0;
  const float* const* right = nullptr;
  std::int64_t right_count = 0;
  std::int64_t pixels = 0, step = 0;
  float* sums = nullptr;         // vectors
  std::int64_t sums_stride = 0;  // floats from a `left` to the next
};

template <class T>
struct WindowFunctions {
  void (*choose)(const ChooseArgs<T>&) = nullptr;
  void (*windows)(const WindowArgs<T>&) = nullptr;
  void (*spread)(const SpreadArgs&) = nullptr;
  void (*round)(float* x, std::int64_t count) = nullptr;  // to numbers of T; whole vectors, null for f32
};

template <class T>
const WindowFunctions<T>& window_functions(Isa isa);
template <>
const WindowFunctions<float>& window_functions<float>(Isa isa);
template <>
const WindowFunctions<BFloat16>& window_functions<BFloat16>(Isa isa);

template <class T>
struct StemProductFunctions {
  std::int64_t run_pixels = 0;  // of the runs of RunArgs, at most
  void (*accumulate)(const RunArgs&) = nullptr;
  void (*gram)(const GramArgs&) = nullptr;
  /// Words of x[i] and x[i + step], or 0 beyond the end; null for f32.
  void (*pair)(const float* x, std::int64_t count, std::int64_t step, float* words) = nullptr;
};

template <class T>
const StemProductFunctions<T>& stem_product_functions(Isa isa);
template <>
const StemProductFunctions<float>& stem_product_functions<float>(Isa isa);
template <>
const StemProductFunctions<BFloat16>& stem_product_functions<BFloat16>(Isa isa);

}  // namespace resnet::kernels::conv

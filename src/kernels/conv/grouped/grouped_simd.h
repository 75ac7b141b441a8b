// The vector loops of grouped convolutions. What is spread is, for each pixel and each channel j of a group,
// a unit: a vector whose lanes hold channel j of their own group, or where a vector is part of one group that
// number.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/machine.h"
#include "resnet/tensor.h"

namespace resnet::kernels::conv::grouped {

/// Pixels of a tile, and combinations whose sums are kept, an accumulator each: with one factor, and with
/// AVX2 a broadcast, they fill its 16 registers.
inline constexpr int kTilePixels = 14;
inline constexpr int kTileSums = 12;

/// A tap along an axis: floats from where taps count from, and which of the kernel.
struct TapAt {
  std::ptrdiff_t x = 0;
  std::int64_t k = 0;
};

/// to[j * plane + i * unit] = the units of channel j at pixel i - before; zero before and after the pixels
struct SpreadArgs {
  const void* source = nullptr;                   // of pixel 0, at channel 0 of a panel's first group
  std::int64_t pixel = 0;                         // elements between pixels
  std::int64_t before = 0, count = 0, after = 0;  // pixels
  std::int64_t channels = 0;                      // j
  std::int64_t span = 0;                          // of vectors: elements that one reads,
  const std::int32_t* lanes = nullptr;            // and which of them each lane takes
  float* to = nullptr;
  std::int64_t plane = 0;
};
struct SpreadFunctions {
  void (*vectors)(const SpreadArgs&) = nullptr;
  void (*numbers)(const SpreadArgs&) = nullptr;
  /// Copies `width` channels of `count` pixels into whole vectors, the rest zero; whether all are finite.
  bool (*pack)(const void* from, std::int64_t pixel, std::int64_t count, std::int64_t width,
               float* to) = nullptr;
};
/// Of sources that are stored as f32 or bf16.
const SpreadFunctions& spread_functions(Isa isa, DType source);

/// Of a row's neighbours,
///   out[i * out_pixel ...] = bias + sum over taps and j of x[... + i] * weights (+ addend)
struct TileArgs {
  const float* x = nullptr;  // the spread block,
  std::ptrdiff_t at = 0;     // and from where in it pixel 0's taps count
  const TapAt* rows = nullptr;
  const TapAt* columns = nullptr;
  std::int64_t row_count = 0, column_count = 0;
  std::int64_t channels = 0, plane = 0;  // j, and floats between them
  const float* weights = nullptr;        // [kh][kw][j][lanes]
  std::int64_t kernel_columns = 1;       // kw
  const float* bias = nullptr;           // [lanes]
  std::int64_t width = 0;                // channels
  float* out = nullptr;
  const float* addend = nullptr;  // or null; may be `out`
  std::int64_t out_pixel = 0;
};
struct ProductFunctions {
  std::int64_t lanes = 0;
  /// Of that many pixels, 1 to kTilePixels, of broadcast numbers or vectors.
  using Tile = void (*)(const TileArgs&);
  Tile vectors[kTilePixels + 1] = {};
  Tile numbers[kTilePixels + 1] = {};
};
const ProductFunctions& product_functions(Isa isa);

/// out[i * pixel + c] = tile[i * lanes + c] (+ addend) in bf16, of `width` channels of `count` pixels.
using RoundTile = void (*)(const float* tile, std::int64_t count, std::int64_t width, const BFloat16* addend,
                           BFloat16* out, std::int64_t pixel);
RoundTile round_tile();

/// sums[sums_at[t]] +=
///   sum over rows and columns of x[at[t] + row * x_row + column] * dy[row * dy_row + column]
struct SumsArgs {
  const float* x = nullptr;
  const std::ptrdiff_t* at = nullptr;  // floats, of each combination of tap and j
  std::int64_t x_row = 0;
  const float* dy = nullptr;  // vectors
  std::int64_t dy_row = 0;
  std::int64_t rows = 0, columns = 0;
  float* sums = nullptr;
  const std::ptrdiff_t* sums_at = nullptr;
};
struct SumsFunctions {
  std::int64_t lanes = 0;
  /// Of that many combinations, 1 to kTileSums.
  using Sums = void (*)(const SumsArgs&);
  Sums vectors[kTileSums + 1] = {};
  Sums numbers[kTileSums + 1] = {};
};
const SumsFunctions& sums_functions(Isa isa);

}  // namespace resnet::kernels::conv::grouped

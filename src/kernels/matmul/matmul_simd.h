// What the vector code of the convolutions does: the outer-product tiles of the passes, and their packing.
//
// The tiles multiply words of 32 bits, floats or pairs of bf16, which stand next to each other along the
// sum: a pair's two products go into one f32 sum. Lengths and strides of MultiplyArgs and
// OuterArgs count words, those of AccumulateArgs numbers, which it makes words of itself.
#pragma once

#include <cstdint>

#include "base/machine.h"
#include "kernels/index_table.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

inline constexpr std::int64_t kTileRows = 6;  // of a register tile: tiles.h says why

/// Numbers of a word.
template <class T>
constexpr std::int64_t kWord = sizeof(float) / sizeof(T);
/// Numbers of a cache line.
template <class T>
constexpr std::int64_t kLine = 64 / sizeof(T);

/// out[rows[i].out + j] = bias[j] + sum_k P[i][k] * panel[k][j], j < columns
struct MultiplyArgs {
  const float* source = nullptr;  // P[i][k] = source[rows[i].in + segment.source + k], and it meets
                                  // row segment.k + k of the panel
  const Row* rows = nullptr;
  std::int64_t count = 0;
  const Segment* segments = nullptr;
  std::int64_t segment_count = 0;
  const float* panel = nullptr;  // [k][columns, padded to whole vectors]
  std::int64_t columns = 0;      // 1..MatmulFunctions::columns
  const float* bias = nullptr;   // padded as the panel; null: add to `out` instead
  float* out = nullptr;
  const float* next_panel = nullptr;  // what will be multiplied next, or null: prefetched meanwhile
  std::int64_t out_pixel = 0;  // not 0: row i stands at out + rows[i].out / out_pixel full panels instead
};

/// sums[panel][columns[i].out + j] += sum_k source[pixels[k].in + columns[i].in] * dy[pixels[k].out + j]
/// The products are of bf16 where Y is, else of f32.
template <class X, class Y>
struct AccumulateArgs {
  const X* source = nullptr;
  const X* source_end = nullptr;  // end of x: nothing is read from there on
  const Y* dy = nullptr;
  const Row* pixels = nullptr;
  std::int64_t pixel_count = 0;  // 1..AccumulateFunctions::pixels
  const Row* columns = nullptr;  // ascending, as the pixels
  std::int64_t column_count = 0;
  std::int64_t outputs = 0;      // columns of dy, cut into panels of MatmulFunctions::columns
  float* sums = nullptr;         // all panels as wide as the first
  std::int64_t sums_stride = 0;  // floats between panels
  float* packed = nullptr;       // of AccumulateFunctions::packed_floats(panels)
};

/// sums[columns[i].out + j] (+)= sum_t x[t * x_stride + columns[i].in] * dy[t * dy_stride + j]
struct OuterArgs {
  const float* x = nullptr;
  const float* dy = nullptr;
  std::int64_t x_stride = 0, dy_stride = 0;  // floats
  std::int64_t count = 0;                    // of t: few enough that their rows stay in L1
  const Row* columns = nullptr;
  std::int64_t column_count = 0;
  std::int64_t outputs = 0;  // a multiple of MatmulFunctions::lanes; dy and sums are as wide
  float* sums = nullptr;
  bool add = false;  // to what stands there
  // What will be multiplied next, or null: its first 64 columns are prefetched meanwhile.
  const float* next_x = nullptr;
  const float* next_dy = nullptr;
};

struct MatmulFunctions {
  std::int64_t lanes = 0;    // floats of a vector
  std::int64_t columns = 0;  // of a full panel: as many vectors as keep a tile in registers
  void (*multiply)(const MultiplyArgs&) = nullptr;

  std::int64_t panels(std::int64_t n) const noexcept { return (n + columns - 1) / columns; }
  std::int64_t padded_columns(std::int64_t n) const noexcept { return (n + lanes - 1) / lanes * lanes; }
};

struct OuterFunctions {
  void (*outer)(const OuterArgs&) = nullptr;
  void (*add)(const float* x, float* sum, std::int64_t count) = nullptr;  // sum += x
};

template <class X, class Y>
struct AccumulateFunctions {
  std::int64_t pixels = 0;  // of one call, at most
  void (*accumulate)(const AccumulateArgs<X, Y>&) = nullptr;
  std::int64_t packed_x_floats = 0, packed_panel_floats = 0;

  std::int64_t packed_floats(std::int64_t panel_count) const noexcept {
    return packed_x_floats + panel_count * packed_panel_floats;
  }
};

/// Products of floats, or of pairs of bf16.
template <class T>
const MatmulFunctions& matmul_functions(Isa isa);
template <>
const MatmulFunctions& matmul_functions<float>(Isa isa);
template <>
const MatmulFunctions& matmul_functions<BFloat16>(Isa isa);

template <class T>
const OuterFunctions& outer_functions(Isa isa);
template <>
const OuterFunctions& outer_functions<float>(Isa isa);
template <>
const OuterFunctions& outer_functions<BFloat16>(Isa isa);

template <class X, class Y>
const AccumulateFunctions<X, Y>& accumulate_functions(Isa isa);
template <>
const AccumulateFunctions<float, float>& accumulate_functions<float, float>(Isa isa);
template <>
const AccumulateFunctions<float, BFloat16>& accumulate_functions<float, BFloat16>(Isa isa);
template <>
const AccumulateFunctions<BFloat16, BFloat16>& accumulate_functions<BFloat16, BFloat16>(Isa isa);

/// to = from + addend, rounded; the addend may be null, or `to` itself.
void round_to_bf16(const float* from, const BFloat16* addend, BFloat16* to, std::int64_t count);

}  // namespace resnet::kernels

#include "kernels/conv/conv_simd.h"

#include <algorithm>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/conv_simd.cpp"
#include "kernels/simd.h"

#if RESNET_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr D d;
constexpr std::int64_t kLanes = static_cast<std::int64_t>(HWY_LANES(float));

// The tile lives in registers: 6 x 2 sums + 2 of the panel + 1 broadcast of 16 (AVX2), or 6 x 4 + 4
// + 1 of 32 (AVX-512). Twelve sums and more hide the latency of two fused multiply-adds a cycle.
constexpr int kTileRows = 6;
constexpr int kVectors = HWY_TARGET == HWY_AVX2 ? 2 : 4;
constexpr std::int64_t kPanel = kVectors * kLanes;

// As few tiles as possible, as equal as possible: 13 rows are 5 + 4 + 4, not 6 + 6 + 1.
class Tiling {
 public:
  explicit Tiling(std::int64_t rows)
      : number_((rows + kTileRows - 1) / kTileRows),
        each_(number_ > 0 ? rows / number_ : 0),
        larger_(number_ > 0 ? rows % number_ : 0) {}
  std::int64_t number() const { return number_; }
  std::int64_t begin(std::int64_t tile) const { return tile * each_ + std::min(tile, larger_); }
  std::int64_t size(std::int64_t tile) const { return each_ + (tile < larger_ ? 1 : 0); }

 private:
  std::int64_t number_, each_, larger_;
};

template <int R, int N>
HWY_INLINE void clear(V (&acc)[R][N]) {
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) acc[r][v] = hn::Zero(d);
  }
}

// ---- forward and input gradient

// Sums start from zero and are added to what stands in memory: long sums become sums of short ones,
// which is also the more accurate order. The same holds below.
template <int R, int N>
HWY_NOINLINE void multiply_tile(const MultiplyArgs& args, const Row* rows) {
  const float* in[R];
  V acc[R][N];
  clear(acc);
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) in[r] = args.source + rows[r].in;
  for (std::int64_t s = 0; s < args.segment_count; ++s) {
    const Segment segment = args.segments[s];
    const float* HWY_RESTRICT panel = args.panel + segment.k * (N * kLanes);
    const std::int64_t end = static_cast<std::int64_t>(segment.source) + segment.length;
    for (std::int64_t k = segment.source; k < end; ++k, panel += N * kLanes) {
      V b[N];
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) b[v] = hn::Load(d, panel + v * kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
        const V a = hn::Set(d, in[r][k]);
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) acc[r][v] = hn::MulAdd(a, b[v], acc[r][v]);
      }
    }
  }
  const bool whole = args.columns == N * kLanes;
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(args.columns - (N - 1) * kLanes));
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      float* HWY_RESTRICT out = args.out + rows[r].out + v * kLanes;
      if (v + 1 < N || whole) {
        const V old = args.bias != nullptr ? hn::Load(d, args.bias + v * kLanes) : hn::LoadU(d, out);
        hn::StoreU(hn::Add(old, acc[r][v]), d, out);
      } else {
        const V old =
            args.bias != nullptr ? hn::Load(d, args.bias + v * kLanes) : hn::MaskedLoad(mask, d, out);
        hn::BlendedStore(hn::Add(old, acc[r][v]), mask, d, out);
      }
    }
  }
}

template <int N>
void multiply_panel(const MultiplyArgs& args) {
  const Tiling tiling(args.count);
  for (std::int64_t t = 0; t < tiling.number(); ++t) {
    const Row* rows = args.rows + tiling.begin(t);
    switch (tiling.size(t)) {
      case 1:
        multiply_tile<1, N>(args, rows);
        break;
      case 2:
        multiply_tile<2, N>(args, rows);
        break;
      case 3:
        multiply_tile<3, N>(args, rows);
        break;
      case 4:
        multiply_tile<4, N>(args, rows);
        break;
      case 5:
        multiply_tile<5, N>(args, rows);
        break;
      default:
        multiply_tile<6, N>(args, rows);
        break;
    }
  }
}

void multiply(const MultiplyArgs& args) {
  switch ((args.columns + kLanes - 1) / kLanes) {
    case 1:
      multiply_panel<1>(args);
      break;
#if HWY_TARGET == HWY_AVX2
    default:
      multiply_panel<2>(args);
      break;
#else
    case 2:
      multiply_panel<2>(args);
      break;
    case 3:
      multiply_panel<3>(args);
      break;
    default:
      multiply_panel<4>(args);
      break;
#endif
  }
}

// ---- weight gradient

// Pixels of a piece: one panel of its dy (8 KiB with AVX2, 24 KiB with AVX-512) stays in the
// first-level cache while the tiles of x pass by.
constexpr std::int64_t kPixels = HWY_TARGET == HWY_AVX2 ? 128 : 96;
// Floats of a packed panel of dy: a line more, so that the panels begin in different cache sets.
constexpr std::int64_t kPanelFloats = kPixels * kPanel + 16;
// Tiles of x packed at a time while the panels of dy pass by: measured best of 3, 4, 6, 8.
constexpr std::int64_t kTiles = 8;
constexpr std::int64_t kTileStride = 8;                           // floats of a packed tile, a pixel
constexpr std::int64_t kTileFloats = kPixels * kTileStride + 16;  // likewise

// The last vector is filled up with zeros.
HWY_INLINE void copy_padded(const float* HWY_RESTRICT from, float* HWY_RESTRICT to, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::Store(hn::LoadU(d, from + i), d, to + i);
  if (i == count) return;
  hn::Store(hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(count - i)), d, from + i), d, to + i);
}

// [panel][pixel][column], the last panel as narrow as whole vectors allow.
void pack_dy(const AccumulateArgs& args, float* HWY_RESTRICT to) {
  const std::int64_t whole = args.outputs / kPanel, rest = args.outputs % kPanel;
  const std::int64_t padded_rest = (rest + kLanes - 1) / kLanes * kLanes;
  for (std::int64_t k = 0; k < args.pixel_count; ++k) {
    const float* HWY_RESTRICT from = args.dy + args.pixels[k].out;
    for (std::int64_t p = 0; p < whole; ++p) {
      float* HWY_RESTRICT panel = to + p * kPanelFloats + k * kPanel;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        hn::Store(hn::LoadU(d, from + p * kPanel + v * kLanes), d, panel + v * kLanes);
    }
    if (rest != 0) copy_padded(from + whole * kPanel, to + whole * kPanelFloats + k * padded_rest, rest);
  }
}

using D8 = hn::CappedTag<float, kTileStride>;

// Where the columns of a tile stand in x, from a pixel's own offset.
struct TileSource {
  const float* first = nullptr;   // of column 0
  const float* second = nullptr;  // where column 0 would stand if it were a neighbour of the last column
  std::int64_t split = 0;         // columns from here on stand at `second`; kTileStride: all at `first`
  bool scattered = false;         // more than two runs, or too near to the end of x for whole vectors
};

TileSource find_tile(const AccumulateArgs& args, const Row* columns, std::int64_t size) {
  TileSource tile;
  const std::int32_t last = columns[size - 1].in;
  tile.first = args.source + columns[0].in;
  tile.second = args.source + (last - (size - 1));
  tile.split = kTileStride;
  for (std::int64_t r = 1; r < size; ++r) {
    if (columns[r].in == columns[0].in + r) continue;
    if (tile.split == kTileStride) tile.split = r;
    tile.scattered = tile.scattered || columns[r].in != last - (size - 1 - r);
  }
  // Columns and pixels ascend.
  const float* end = tile.second + args.pixels[args.pixel_count - 1].in + kTileStride;
  tile.scattered = tile.scattered || end > args.source_end;
  return tile;
}

// T tiles without a split: [tile][pixel][kTileStride].
template <int T>
void pack_whole(const AccumulateArgs& args, const TileSource* tiles, float* HWY_RESTRICT to) {
  const D8 d8;
  const float* from[T];
  for (int t = 0; t < T; ++t) from[t] = tiles[t].first;
  for (std::int64_t k = 0; k < args.pixel_count; ++k, to += kTileStride) {
    const std::int64_t in = args.pixels[k].in;
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) hn::Store(hn::LoadU(d8, from[t] + in), d8, to + t * kTileFloats);
  }
}

void pack_split(const AccumulateArgs& args, const TileSource& tile, float* HWY_RESTRICT to) {
  const D8 d8;
  const auto mask = hn::FirstN(d8, static_cast<std::size_t>(tile.split));
  for (std::int64_t k = 0; k < args.pixel_count; ++k, to += kTileStride) {
    const std::int64_t in = args.pixels[k].in;
    hn::Store(hn::IfThenElse(mask, hn::LoadU(d8, tile.first + in), hn::LoadU(d8, tile.second + in)), d8, to);
  }
}

void pack_scattered(const AccumulateArgs& args, const Row* columns, std::int64_t size,
                    float* HWY_RESTRICT to) {
  for (std::int64_t k = 0; k < args.pixel_count; ++k, to += kTileStride) {
    for (std::int64_t r = 0; r < size; ++r) to[r] = args.source[columns[r].in + args.pixels[k].in];
  }
}

void pack_x(const AccumulateArgs& args, const Tiling& tiling, std::int64_t begin, std::int64_t end,
            float* HWY_RESTRICT to) {
  constexpr std::int64_t kTogether = 4;  // tiles share lines of x, which are fetched once
  TileSource tiles[kTiles];
  const auto whole = [&](std::int64_t t)
                         HWY_ATTR { return tiles[t].split == kTileStride && !tiles[t].scattered; };
  for (std::int64_t t = begin; t < end; ++t) {
    tiles[t - begin] = find_tile(args, args.columns + tiling.begin(t), tiling.size(t));
  }
  for (std::int64_t t = 0; t < end - begin;) {
    float* HWY_RESTRICT tile = to + t * kTileFloats;
    if (t + kTogether <= end - begin && whole(t) && whole(t + 1) && whole(t + 2) && whole(t + 3)) {
      pack_whole<kTogether>(args, tiles + t, tile);
      t += kTogether;
      continue;
    }
    if (tiles[t].scattered) {
      pack_scattered(args, args.columns + tiling.begin(begin + t), tiling.size(begin + t), tile);
    } else if (tiles[t].split != kTileStride) {
      pack_split(args, tiles[t], tile);
    } else {
      pack_whole<1>(args, tiles + t, tile);
    }
    ++t;
  }
}

// Sums of R columns of x times N vectors of dy. kAdd: to what stands in memory.
template <int R, int N, bool kAdd>
HWY_NOINLINE void accumulate_tile(const float* HWY_RESTRICT x, std::int64_t x_stride,
                                  const float* HWY_RESTRICT dy, std::int64_t dy_stride, std::int64_t pixels,
                                  const Row* columns, float* HWY_RESTRICT sums) {
  V acc[R][N];
  clear(acc);
  for (std::int64_t k = 0; k < pixels; ++k, x += x_stride, dy += dy_stride) {
    V b[N];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) b[v] = hn::Load(d, dy + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const V a = hn::Set(d, x[r]);
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) acc[r][v] = hn::MulAdd(a, b[v], acc[r][v]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      float* HWY_RESTRICT sum = sums + columns[r].out + v * kLanes;
      hn::Store(kAdd ? hn::Add(hn::Load(d, sum), acc[r][v]) : acc[r][v], d, sum);
    }
  }
}

struct TileArgs {
  const float* x;
  std::int64_t x_stride;
  const float* dy;
  std::int64_t dy_stride;
  std::int64_t pixels;
  const Row* columns;
  float* sums;
};

template <int R, int N, bool kAdd>
HWY_INLINE void accumulate_tile(const TileArgs& t) {
  accumulate_tile<R, N, kAdd>(t.x, t.x_stride, t.dy, t.dy_stride, t.pixels, t.columns, t.sums);
}

template <int R, bool kAdd>
HWY_INLINE void accumulate_tile(const TileArgs& t, std::int64_t vectors) {
  switch (vectors) {
    case 1:
      accumulate_tile<R, 1, kAdd>(t);
      break;
#if HWY_TARGET == HWY_AVX2
    default:
      accumulate_tile<R, 2, kAdd>(t);
      break;
#else
    case 2:
      accumulate_tile<R, 2, kAdd>(t);
      break;
    case 3:
      accumulate_tile<R, 3, kAdd>(t);
      break;
    default:
      accumulate_tile<R, 4, kAdd>(t);
      break;
#endif
  }
}

// A tile of `rows` columns of x by `outputs` columns of dy.
template <bool kAdd>
void accumulate_tile(const TileArgs& t, std::int64_t rows, std::int64_t outputs) {
  const std::int64_t vectors = (outputs + kLanes - 1) / kLanes;
  switch (rows) {
    case 1:
      accumulate_tile<1, kAdd>(t, vectors);
      break;
    case 2:
      accumulate_tile<2, kAdd>(t, vectors);
      break;
    case 3:
      accumulate_tile<3, kAdd>(t, vectors);
      break;
    case 4:
      accumulate_tile<4, kAdd>(t, vectors);
      break;
    case 5:
      accumulate_tile<5, kAdd>(t, vectors);
      break;
    default:
      accumulate_tile<6, kAdd>(t, vectors);
      break;
  }
}

void accumulate(const AccumulateArgs& args) {
  float* packed_x = args.packed;
  float* packed_dy = packed_x + kTiles * kTileFloats;
  pack_dy(args, packed_dy);
  const Tiling tiling(args.column_count);
  for (std::int64_t begin = 0; begin < tiling.number(); begin += kTiles) {
    const std::int64_t end = std::min(begin + kTiles, tiling.number());
    pack_x(args, tiling, begin, end, packed_x);
    for (std::int64_t p = 0; p * kPanel < args.outputs; ++p) {
      const std::int64_t outputs = std::min(kPanel, args.outputs - p * kPanel);
      for (std::int64_t t = begin; t < end; ++t) {
        accumulate_tile<true>({.x = packed_x + (t - begin) * kTileFloats,
                               .x_stride = kTileStride,
                               .dy = packed_dy + p * kPanelFloats,
                               .dy_stride = (outputs + kLanes - 1) / kLanes * kLanes,
                               .pixels = args.pixel_count,
                               .columns = args.columns + tiling.begin(t),
                               .sums = args.sums + p * args.sums_stride},
                              tiling.size(t), outputs);
      }
    }
  }
}

void outer(const OuterArgs& args) {
  const Tiling tiling(args.column_count);
  for (std::int64_t p = 0; p < args.outputs; p += kPanel) {
    const std::int64_t outputs = std::min(kPanel, args.outputs - p);
    for (std::int64_t t = 0; t < tiling.number(); ++t) {
      const Row* columns = args.columns + tiling.begin(t);
      const TileArgs tile = {.x = args.x + columns[0].in,
                             .x_stride = args.x_stride,
                             .dy = args.dy + p,
                             .dy_stride = args.dy_stride,
                             .pixels = args.count,
                             .columns = columns,
                             .sums = args.sums + p};
      if (args.add) {
        accumulate_tile<true>(tile, tiling.size(t), outputs);
      } else {
        accumulate_tile<false>(tile, tiling.size(t), outputs);
      }
    }
  }
}

void add(const float* HWY_RESTRICT x, float* HWY_RESTRICT sum, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, sum + i), hn::LoadU(d, x + i)), d, sum + i);
  }
  for (; i < count; ++i) sum[i] += x[i];
}

}  // namespace

const ConvFunctions kConvFunctions = {.lanes = kLanes,
                                      .columns = kPanel,
                                      .pixels = kPixels,
                                      .multiply = &multiply,
                                      .accumulate = &accumulate,
                                      .outer = &outer,
                                      .add = &add,
                                      .packed_x_floats = kTiles * kTileFloats,
                                      .packed_panel_floats = kPanelFloats};

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels::conv {

const ConvFunctions& conv_functions(Isa isa) {
  return RESNET_FOR_ISA(isa, kConvFunctions);
}

}  // namespace resnet::kernels::conv
#endif

#include "kernels/conv/conv_simd.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/conv_simd.cpp"
#include "kernels/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/conv/tiles.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// ---- forward and input gradient

// The columns of some short segments one by one: offsets from Row::in. They stand side by side in the panel.
struct Columns {
  const std::int64_t* offsets = nullptr;  // null: there are long segments
  std::int64_t count = 0;
};

template <class P, int R, int N>
HWY_INLINE void add_column(const float* const (&in)[R], std::int64_t k, const float* HWY_RESTRICT panel,
                           V (&acc)[R][N]) {
  V b[N];
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) b[v] = hn::Load(d, panel + v * kLanes);
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    const V a = hn::Set(d, in[r][k]);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) acc[r][v] = P::mul_add(a, b[v], acc[r][v]);
  }
}

// Sums start from zero and are added to what stands in memory: long sums become sums of short ones,
// which is also the more accurate order. The same holds below.
// `ahead`: asks for a line of it a column.
template <class P, int R, int N, bool kAhead>
HWY_NOINLINE void multiply_tile(const MultiplyArgs& args, const Row* rows, const float* ahead,
                                const Columns& columns) {
  const float* in[R];
  V acc[R][N];
  clear(acc);
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) in[r] = args.source + rows[r].in;
  if (!kAhead && columns.offsets != nullptr) {
    const float* HWY_RESTRICT panel = args.panel + args.segments[0].k * (N * kLanes);
    const std::int64_t* const end = columns.offsets + columns.count;
    // Not two columns at a time: of pairs the compiler then moves the sums to the stack and back.
    for (const std::int64_t* k = columns.offsets; k < end; ++k, panel += N * kLanes)
      add_column<P>(in, *k, panel, acc);
  } else {
    for (std::int64_t s = 0; s < args.segment_count; ++s) {
      const Segment segment = args.segments[s];
      const float* HWY_RESTRICT panel = args.panel + segment.k * (N * kLanes);
      const std::int64_t end = static_cast<std::int64_t>(segment.source) + segment.length;
      for (std::int64_t k = segment.source; k < end; ++k, panel += N * kLanes) {
        if constexpr (kAhead) {
          __builtin_prefetch(ahead, 0, 2);  // to the second level
          ahead += kLine<float>;
        }
        add_column<P>(in, k, panel, acc);
      }
    }
  }
  const bool whole = args.columns == N * kLanes;
  if (whole && args.bias != nullptr && args.out_pixel == 0) {  // the rule, without a branch a row
    V bias[N];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) bias[v] = hn::Load(d, args.bias + v * kLanes);
    float* HWY_RESTRICT out = args.out;
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) hn::StoreU(hn::Add(bias[v], acc[r][v]), d, out + rows[r].out + v * kLanes);
    }
    return;
  }
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(args.columns - (N - 1) * kLanes));
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    float* const row = args.out + (args.out_pixel == 0 ? rows[r].out : rows[r].out / args.out_pixel * kPanel);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      float* HWY_RESTRICT out = row + v * kLanes;
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

// Lists the columns of segments that are too short for a loop each, if they are side by side in the panel and
// there are tiles enough for the work. Measured with 7 segments of 7 and of 21: 7 % faster.
class ShortSegments {
 public:
  explicit ShortSegments(const MultiplyArgs& args) {
    if (args.segment_count < 2 || args.count < kFewRows || args.next_panel != nullptr) return;
    const Segment &first = args.segments[0], &last = args.segments[args.segment_count - 1];
    const std::int64_t count = last.k + last.length - first.k;
    if (count > std::min(kMost, args.segment_count * kShort)) return;
    std::int64_t* to = offsets_;
    for (std::int64_t s = 0; s < args.segment_count; ++s) {
      const Segment segment = args.segments[s];
      if (segment.k - first.k != to - offsets_) return;
      for (std::int64_t k = 0; k < segment.length; ++k) *to++ = segment.source + k;
    }
    columns_ = {offsets_, count};
  }
  ShortSegments(const ShortSegments&) = delete;
  const Columns& columns() const { return columns_; }

 private:
  static constexpr std::int64_t kMost = 256, kShort = 32, kFewRows = 4 * kTileRows;
  std::int64_t offsets_[kMost];
  Columns columns_;
};

template <class P, int N>
void multiply_panel(const MultiplyArgs& args) {
  const Tiling tiling(args.count);
  const ShortSegments segments(args);
  const Columns& flat = segments.columns();
  std::int64_t columns = 0;  // of next_panel, which is as large as this one
  for (std::int64_t s = 0; args.next_panel != nullptr && s < args.segment_count; ++s)
    columns += args.segments[s].length;
  const std::int64_t lines_of_column = N * kLanes / kLine<float>;
  for (std::int64_t t = 0; t < tiling.number(); ++t) {
    const Row* rows = args.rows + tiling.begin(t);
    const float* ahead = args.next_panel != nullptr && t < lines_of_column
                             ? args.next_panel + t * columns * kLine<float>
                             : nullptr;
    switch (tiling.size(t)) {
      case 1:
        multiply_tile<P, 1, N, false>(args, rows, nullptr, flat);
        break;
      case 2:
        multiply_tile<P, 2, N, false>(args, rows, nullptr, flat);
        break;
      case 3:
        multiply_tile<P, 3, N, false>(args, rows, nullptr, flat);
        break;
      case 4:
        multiply_tile<P, 4, N, false>(args, rows, nullptr, flat);
        break;
      case 5:
        multiply_tile<P, 5, N, false>(args, rows, nullptr, flat);
        break;
      default:
        ahead != nullptr ? multiply_tile<P, 6, N, true>(args, rows, ahead, flat)
                         : multiply_tile<P, 6, N, false>(args, rows, nullptr, flat);
        break;
    }
  }
}

template <class P>
void multiply(const MultiplyArgs& args) {
  switch ((args.columns + kLanes - 1) / kLanes) {
    case 1:
      multiply_panel<P, 1>(args);
      break;
#if HWY_TARGET == HWY_AVX2
    default:
      multiply_panel<P, 2>(args);
      break;
#else
    case 2:
      multiply_panel<P, 2>(args);
      break;
    case 3:
      multiply_panel<P, 3>(args);
      break;
    default:
      multiply_panel<P, 4>(args);
      break;
#endif
  }
}

// ---- weight gradient

// Words of a piece: one panel of its dy (8 KiB with AVX2, 24 KiB with AVX-512) stays in the first-level
// cache while the tiles of x pass by.
constexpr std::int64_t kWords = HWY_TARGET == HWY_AVX2 ? 128 : 96;
// Floats of a packed panel of dy: a line more, so that the panels begin in different cache sets.
constexpr std::int64_t kPanelFloats = kWords * kPanel + 16;
// Tiles of x packed at a time while the panels of dy pass by: measured best of 3, 4, 6, 8.
constexpr std::int64_t kTiles = 8;
constexpr std::int64_t kTileStride = 8;                          // words of a packed tile, a pixel or two
constexpr std::int64_t kTileFloats = kWords * kTileStride + 16;  // likewise
constexpr std::int64_t kGroup = kTiles * kTileRows;              // columns packed at a time

using D8 = hn::CappedTag<float, kTileStride>;
using V8 = hn::Vec<D8>;
// Eight numbers; for pairs of bf16 rounded to it.
template <class P>
HWY_INLINE V8 load8(const float* p) {
  const V8 v = hn::LoadU(D8(), p);
  if constexpr (P::kStep == 1) return v;
#if RESNET_BF16_TARGET
  __m128i half;
  __asm__("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(v.raw));
  return V8{_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16))};
#endif
}
#if RESNET_BF16_TARGET
template <class P>
HWY_INLINE V8 load8(const BFloat16* p) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return V8{_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16))};
}
#endif

// As many as a vector holds, or part of that; likewise.
template <class P, class Access, class T>
HWY_INLINE V load(const Access& access, const T* p) {
  const V v = access.load(p);
#if RESNET_BF16_TARGET
  if constexpr (P::kStep == 2 && !std::is_same_v<T, BFloat16>)
    return resnet::kernels::HWY_NAMESPACE::from_bf16(resnet::kernels::HWY_NAMESPACE::to_bf16(v));
#endif
  return v;
}

// The words of two pixels' numbers, the halves of which are bf16.
template <class Vector>
HWY_INLINE Vector paired(Vector first, Vector second) {
  const hn::DFromV<Vector> df;
  const hn::RebindToUnsigned<decltype(df)> du;
  return hn::Or(hn::BitCast(df, hn::ShiftRight<16>(hn::BitCast(du, first))), second);
}

// What stands at `p` in pixel k of a list, and where words are pairs in the next.
template <class P, class T, class Offset, class Load>
HWY_INLINE auto words_of(const T* p, const Offset& offset, std::int64_t k, std::int64_t count,
                         const Load& load) {
  const auto first = load(p + offset(k));
  if constexpr (P::kStep == 1) return first;
  return paired(first, k + 1 < count ? load(p + offset(k + 1)) : hn::Zero(hn::DFromV<decltype(first)>()));
}

// [panel][word][column], the last panel as narrow as whole vectors allow.
template <class P, class X, class Y>
void pack_dy(const AccumulateArgs<X, Y>& args, float* HWY_RESTRICT to) {
  const std::int64_t whole = args.outputs / kPanel, rest = args.outputs % kPanel;
  const std::int64_t padded_rest = (rest + kLanes - 1) / kLanes * kLanes;
  const auto offset = [&](std::int64_t k) HWY_ATTR { return std::int64_t{args.pixels[k].out}; };
  const auto load = [](const Y* p) HWY_ATTR { return Whole().load(p); };
  for (std::int64_t k = 0, word = 0; k < args.pixel_count; k += P::kStep, ++word) {
    for (std::int64_t p = 0; p < whole; ++p) {
      float* HWY_RESTRICT panel = to + p * kPanelFloats + word * kPanel;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        hn::Store(words_of<P>(args.dy + p * kPanel + v * kLanes, offset, k, args.pixel_count, load), d,
                  panel + v * kLanes);
      }
    }
    float* HWY_RESTRICT panel = to + whole * kPanelFloats + word * padded_rest;
    for (std::int64_t j = 0; j < rest; j += kLanes) {
      const Part part(std::min(kLanes, rest - j));
      const auto load_part = [&](const Y* p) HWY_ATTR { return part.load(p); };
      hn::Store(words_of<P>(args.dy + whole * kPanel + j, offset, k, args.pixel_count, load_part), d,
                panel + j);
    }
  }
}

// Where the columns of a tile stand in x, from a pixel's own offset.
template <class X>
struct TileSource {
  const X* first = nullptr;   // of column 0
  const X* second = nullptr;  // where column 0 would stand if it were a neighbour of the last column
  std::int64_t split = 0;     // columns from here on stand at `second`; kTileStride: all at `first`
  bool scattered = false;     // more than two runs, or too near to the end of x for whole vectors
};

template <class X, class Y>
TileSource<X> find_tile(const AccumulateArgs<X, Y>& args, const Row* columns, std::int64_t size) {
  TileSource<X> tile;
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
  const X* end = tile.second + args.pixels[args.pixel_count - 1].in + kTileStride;
  tile.scattered = tile.scattered || end > args.source_end;
  return tile;
}

// T tiles without a split: [tile][word][kTileStride].
template <class P, int T, class X, class Y>
void pack_whole(const AccumulateArgs<X, Y>& args, const TileSource<X>* tiles, float* HWY_RESTRICT to) {
  const X* from[T];
  for (int t = 0; t < T; ++t) from[t] = tiles[t].first;
  const auto offset = [&](std::int64_t k) HWY_ATTR { return std::int64_t{args.pixels[k].in}; };
  const auto load = [](const X* p) HWY_ATTR { return load8<P>(p); };
  for (std::int64_t k = 0; k < args.pixel_count; k += P::kStep, to += kTileStride) {
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t)
      hn::Store(words_of<P>(from[t], offset, k, args.pixel_count, load), D8(), to + t * kTileFloats);
  }
}

template <class P, class X, class Y>
void pack_split(const AccumulateArgs<X, Y>& args, const TileSource<X>& tile, float* HWY_RESTRICT to) {
  const auto mask = hn::FirstN(D8(), static_cast<std::size_t>(tile.split));
  const auto offset = [&](std::int64_t k) HWY_ATTR { return std::int64_t{args.pixels[k].in}; };
  const std::ptrdiff_t second = tile.second - tile.first;
  const auto load = [&](const X* p)
                        HWY_ATTR { return hn::IfThenElse(mask, load8<P>(p), load8<P>(p + second)); };
  for (std::int64_t k = 0; k < args.pixel_count; k += P::kStep, to += kTileStride)
    hn::Store(words_of<P>(tile.first, offset, k, args.pixel_count, load), D8(), to);
}

template <class P, class X, class Y>
void pack_scattered(const AccumulateArgs<X, Y>& args, const Row* columns, std::int64_t size,
                    float* HWY_RESTRICT to) {
  HWY_ALIGN X row[kTileStride] = {};
  const auto offset = [](std::int64_t k) HWY_ATTR { return k; };
  const auto load = [&](const X* p) HWY_ATTR {
    const std::int64_t k = p - args.source;
    for (std::int64_t r = 0; r < size; ++r) row[r] = args.source[columns[r].in + args.pixels[k].in];
    return load8<P>(row);
  };
  for (std::int64_t k = 0; k < args.pixel_count; k += P::kStep, to += kTileStride)
    hn::Store(words_of<P>(args.source, offset, k, args.pixel_count, load), D8(), to);
}

// `count` columns that are neighbours, of up to kTiles tiles, side by side: [word][kGroup].
template <class P, class X, class Y>
void pack_neighbours(const AccumulateArgs<X, Y>& args, const Row* columns, std::int64_t count,
                     float* HWY_RESTRICT to) {
  const auto offset = [&](std::int64_t k) HWY_ATTR { return std::int64_t{args.pixels[k].in}; };
  const Part part(count % kLanes);
  const auto whole = [](const X* p) HWY_ATTR { return load<P>(Whole(), p); };
  const auto rest = [&](const X* p) HWY_ATTR { return load<P>(part, p); };
  const X* const from = args.source + columns[0].in;
  for (std::int64_t k = 0; k < args.pixel_count; k += P::kStep, to += kGroup) {
    std::int64_t c = 0;
    for (; c + kLanes <= count; c += kLanes)
      hn::Store(words_of<P>(from + c, offset, k, args.pixel_count, whole), d, to + c);
    if (c < count) hn::Store(words_of<P>(from + c, offset, k, args.pixel_count, rest), d, to + c);
  }
}

template <class P, class X, class Y>
void pack_x(const AccumulateArgs<X, Y>& args, const Tiling& tiling, std::int64_t begin, std::int64_t end,
            float* HWY_RESTRICT to) {
  constexpr std::int64_t kTogether = 4;  // tiles share lines of x, which are fetched once
  TileSource<X> tiles[kTiles];
  const auto whole = [&](std::int64_t t)
                         HWY_ATTR { return tiles[t].split == kTileStride && !tiles[t].scattered; };
  for (std::int64_t t = begin; t < end; ++t) {
    tiles[t - begin] = find_tile(args, args.columns + tiling.begin(t), tiling.size(t));
  }
  for (std::int64_t t = 0; t < end - begin;) {
    float* HWY_RESTRICT tile = to + t * kTileFloats;
    if (t + kTogether <= end - begin && whole(t) && whole(t + 1) && whole(t + 2) && whole(t + 3)) {
      pack_whole<P, kTogether>(args, tiles + t, tile);
      t += kTogether;
      continue;
    }
    if (tiles[t].scattered) {
      pack_scattered<P>(args, args.columns + tiling.begin(begin + t), tiling.size(begin + t), tile);
    } else if (tiles[t].split != kTileStride) {
      pack_split<P>(args, tiles[t], tile);
    } else {
      pack_whole<P, 1>(args, tiles + t, tile);
    }
    ++t;
  }
}

// What is read soon: a line of it a word is asked for.
struct Ahead {
  const float* at = nullptr;
  std::int64_t stride = 0;
  HWY_INLINE void ask() {
    __builtin_prefetch(at, 0, 2);  // to the second level
    at += stride;
  }
};

// Sums of R columns of x times N vectors of dy. kAdd: to what stands in memory. kAhead: asks.
template <class P, int R, int N, bool kAdd, bool kAhead>
HWY_NOINLINE void accumulate_tile(const float* HWY_RESTRICT x, std::int64_t x_stride,
                                  const float* HWY_RESTRICT dy, std::int64_t dy_stride, std::int64_t words,
                                  const Row* columns, float* HWY_RESTRICT sums, Ahead first, Ahead second) {
  V acc[R][N];
  clear(acc);
  for (std::int64_t k = 0; k < words; ++k, x += x_stride, dy += dy_stride) {
    if constexpr (kAhead) {
      first.ask();
      second.ask();
    }
    V b[N];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) b[v] = hn::Load(d, dy + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const V a = hn::Set(d, x[r]);
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) acc[r][v] = P::mul_add(a, b[v], acc[r][v]);
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
  std::int64_t words;
  const Row* columns;
  float* sums;
  Ahead first, second;  // each may be null; full tiles that add ask for them
};

template <class P, int R, int N, bool kAdd>
HWY_INLINE void accumulate_tile(const TileArgs& t) {
  if constexpr (R == kTileRows && N == kVectors && kAdd) {
    if (t.first.at != nullptr || t.second.at != nullptr) {
      return accumulate_tile<P, R, N, kAdd, true>(t.x, t.x_stride, t.dy, t.dy_stride, t.words, t.columns,
                                                  t.sums, t.first.at != nullptr ? t.first : t.second,
                                                  t.second.at != nullptr ? t.second : t.first);
    }
  }
  accumulate_tile<P, R, N, kAdd, false>(t.x, t.x_stride, t.dy, t.dy_stride, t.words, t.columns, t.sums, {},
                                        {});
}

template <class P, int R, bool kAdd>
HWY_INLINE void accumulate_tile(const TileArgs& t, std::int64_t vectors) {
  switch (vectors) {
    case 1:
      accumulate_tile<P, R, 1, kAdd>(t);
      break;
#if HWY_TARGET == HWY_AVX2
    default:
      accumulate_tile<P, R, 2, kAdd>(t);
      break;
#else
    case 2:
      accumulate_tile<P, R, 2, kAdd>(t);
      break;
    case 3:
      accumulate_tile<P, R, 3, kAdd>(t);
      break;
    default:
      accumulate_tile<P, R, 4, kAdd>(t);
      break;
#endif
  }
}

// A tile of `rows` columns of x by `outputs` columns of dy.
template <class P, bool kAdd>
void accumulate_tile(const TileArgs& t, std::int64_t rows, std::int64_t outputs) {
  const std::int64_t vectors = (outputs + kLanes - 1) / kLanes;
  switch (rows) {
    case 1:
      accumulate_tile<P, 1, kAdd>(t, vectors);
      break;
    case 2:
      accumulate_tile<P, 2, kAdd>(t, vectors);
      break;
    case 3:
      accumulate_tile<P, 3, kAdd>(t, vectors);
      break;
    case 4:
      accumulate_tile<P, 4, kAdd>(t, vectors);
      break;
    case 5:
      accumulate_tile<P, 5, kAdd>(t, vectors);
      break;
    default:
      accumulate_tile<P, 6, kAdd>(t, vectors);
      break;
  }
}

template <class P, class X, class Y>
void accumulate(const AccumulateArgs<X, Y>& args) {
  float* packed_x = args.packed;
  float* packed_dy = packed_x + kTiles * kTileFloats;
  pack_dy<P>(args, packed_dy);
  // The pixels of the next piece, as a rule: each of the first tiles asks for a line of dy of each, and in
  // the first panel every tile for its part of x.
  constexpr std::int64_t kLines = kPanel / kLine<Y>;
  const std::int64_t last = args.pixel_count - 1;
  const std::int64_t dy_pixel = last > 0 ? args.pixels[last].out - args.pixels[last - 1].out : 0;
  const std::int64_t x_pixel = last > 0 ? args.pixels[last].in - args.pixels[last - 1].in : 0;
  const Y* next_dy = args.dy + args.pixels[last].out + dy_pixel;
  const X* next_x = args.source + args.pixels[last].in + x_pixel;
  const Tiling tiling(args.column_count);
  for (std::int64_t begin = 0; begin < tiling.number(); begin += kTiles) {
    const std::int64_t end = std::min(begin + kTiles, tiling.number());
    const Row* columns = args.columns + tiling.begin(begin);
    const std::int64_t count = tiling.begin(end) - tiling.begin(begin);
    const bool neighbours = columns[count - 1].in - columns[0].in == count - 1;  // they ascend
    if (neighbours) {
      pack_neighbours<P>(args, columns, count, packed_x);
    } else {
      pack_x<P>(args, tiling, begin, end, packed_x);
    }
    for (std::int64_t p = 0; p * kPanel < args.outputs; ++p) {
      const std::int64_t outputs = std::min(kPanel, args.outputs - p * kPanel);
      for (std::int64_t t = begin; t < end; ++t) {
        TileArgs tile = {
            .x = packed_x + (neighbours ? tiling.begin(t) - tiling.begin(begin) : (t - begin) * kTileFloats),
            .x_stride = neighbours ? kGroup : kTileStride,
            .dy = packed_dy + p * kPanelFloats,
            .dy_stride = (outputs + kLanes - 1) / kLanes * kLanes,
            .words = (args.pixel_count + P::kStep - 1) / P::kStep,
            .columns = args.columns + tiling.begin(t),
            .sums = args.sums + p * args.sums_stride};
        if (t < kLines * P::kStep) {
          tile.first = {reinterpret_cast<const float*>(next_dy + p * kPanel + t / kLines * dy_pixel +
                                                       t % kLines * kLine<Y>),
                        dy_pixel * P::kStep / kWord<Y>};
        }
        if (p == 0) {
          tile.second = {reinterpret_cast<const float*>(next_x + args.columns[tiling.begin(t)].in),
                         x_pixel * P::kStep / kWord<X>};
        }
        accumulate_tile<P, true>(tile, tiling.size(t), outputs);
      }
    }
  }
}

template <class P>
void outer(const OuterArgs& args) {
  constexpr std::int64_t kLines = 4;  // of 64 columns
  const Tiling tiling(args.column_count);
  for (std::int64_t p = 0; p < args.outputs; p += kPanel) {
    const std::int64_t outputs = std::min(kPanel, args.outputs - p);
    for (std::int64_t t = 0; t < tiling.number(); ++t) {
      const Row* columns = args.columns + tiling.begin(t);
      TileArgs tile = {.x = args.x + columns[0].in,
                       .x_stride = args.x_stride,
                       .dy = args.dy + p,
                       .dy_stride = args.dy_stride,
                       .words = args.count,
                       .columns = columns,
                       .sums = args.sums + p};
      if (p == 0 && t < 2 * kLines && args.next_x != nullptr) {
        tile.first = t < kLines ? Ahead{args.next_dy + t * kLine<float>, args.dy_stride}
                                : Ahead{args.next_x + (t - kLines) * kLine<float>, args.x_stride};
      }
      if (args.add) {
        accumulate_tile<P, true>(tile, tiling.size(t), outputs);
      } else {
        accumulate_tile<P, false>(tile, tiling.size(t), outputs);
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

template <class P>
constexpr ConvFunctions functions() {
  return {.lanes = kLanes, .columns = kPanel, .multiply = &multiply<P>, .outer = &outer<P>, .add = &add};
}

template <class P, class X, class Y>
constexpr AccumulateFunctions<X, Y> accumulate_functions() {
  return {.pixels = kWords * P::kStep,
          .accumulate = &accumulate<P, X, Y>,
          .packed_x_floats = kTiles * kTileFloats,
          .packed_panel_floats = kPanelFloats};
}

#if RESNET_BF16_TARGET
template <class Access>
HWY_INLINE void round_vector(const Access& access, const float* from, const BFloat16* addend, BFloat16* to) {
  const V v = access.load(from);
  access.store(addend != nullptr ? hn::Add(v, access.load(addend)) : v, to);
}
void round_to_bf16(const float* from, const BFloat16* addend, BFloat16* to, std::int64_t count) {
  const auto addend_at = [&](std::int64_t i) { return addend != nullptr ? addend + i : nullptr; };
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) round_vector(Whole(), from + i, addend_at(i), to + i);
  if (i < count) round_vector(Part(count - i), from + i, addend_at(i), to + i);
}
#endif

}  // namespace

const ConvFunctions kFloats = functions<Floats>();
const AccumulateFunctions<float, float> kAccumulate = accumulate_functions<Floats, float, float>();
#if RESNET_BF16_TARGET
const ConvFunctions kPairs = functions<Pairs>();
const AccumulateFunctions<float, BFloat16> kAccumulateMixed = accumulate_functions<Pairs, float, BFloat16>();
const AccumulateFunctions<BFloat16, BFloat16> kAccumulatePairs =
    accumulate_functions<Pairs, BFloat16, BFloat16>();
void (*const kRound)(const float*, const BFloat16*, BFloat16*, std::int64_t) = &round_to_bf16;
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels::conv {

template <>
const ConvFunctions& conv_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kFloats);
}
template <>
const ConvFunctions& conv_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kPairs);
}
template <>
const AccumulateFunctions<float, float>& accumulate_functions<float, float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kAccumulate);
}
template <>
const AccumulateFunctions<float, BFloat16>& accumulate_functions<float, BFloat16>(Isa) {
  return RESNET_FOR_BF16(kAccumulateMixed);
}
template <>
const AccumulateFunctions<BFloat16, BFloat16>& accumulate_functions<BFloat16, BFloat16>(Isa) {
  return RESNET_FOR_BF16(kAccumulatePairs);
}
void round_to_bf16(const float* from, const BFloat16* addend, BFloat16* to, std::int64_t count) {
  RESNET_FOR_BF16(kRound)(from, addend, to, count);
}

}  // namespace resnet::kernels::conv
#endif

// Packing of both operands of a weight gradient for its outer products. For the vector part of a *_simd.cpp
// file; like matmul/tiles.h, which it includes, it is read once a target and has no guard.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/matmul/matmul_simd.h"
#include "kernels/matmul/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {

// Words of a piece: one panel of its dy (8 KiB with AVX2, 24 KiB with AVX-512) stays in the first-level
// cache while the tiles of x pass by.
constexpr std::int64_t kWords = HWY_TARGET == HWY_AVX2 ? 128 : 96;
// Floats of a packed panel of dy: a line more, so that the panels begin in different cache sets.
constexpr std::int64_t kPanelFloats = kWords * kPanel + 16;
// Tiles of x packed at a time while the panels of dy pass by: measured best of 3, 4, 6, 8.
constexpr std::int64_t kTiles = 8;
constexpr std::int64_t kTileStride = 8;                          // words of a packed tile, a pixel or two
constexpr std::int64_t kTileFloats = kWords * kTileStride + 16;  // likewise
constexpr std::int64_t kPackedColumns = kTiles * kTileRows;      // columns packed at a time

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
  if constexpr (P::kStep == 2 && !std::is_same_v<T, BFloat16>) return from_bf16(to_bf16(v));
#endif
  return v;
}

// Bf16 of two pixels in pairs, interleaved for vdpbf16ps.
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

// `count` columns that are neighbours, of up to kTiles tiles, side by side: [word][kPackedColumns].
template <class P, class X, class Y>
void pack_neighbours(const AccumulateArgs<X, Y>& args, const Row* columns, std::int64_t count,
                     float* HWY_RESTRICT to) {
  const auto offset = [&](std::int64_t k) HWY_ATTR { return std::int64_t{args.pixels[k].in}; };
  const Part part(count % kLanes);
  const auto whole = [](const X* p) HWY_ATTR { return load<P>(Whole(), p); };
  const auto rest = [&](const X* p) HWY_ATTR { return load<P>(part, p); };
  const X* const from = args.source + columns[0].in;
  for (std::int64_t k = 0; k < args.pixel_count; k += P::kStep, to += kPackedColumns) {
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

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();

// Sums of outer products: gradients of weights.
#include <algorithm>
#include <cstdint>

#include "kernels/matmul/matmul_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/outer_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/matmul/pack_lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Prefetches what is read soon, a line a word.
struct Prefetch {
  const float* at = nullptr;
  std::int64_t stride = 0;
  HWY_INLINE void next() {
    __builtin_prefetch(at, 0, 2);  // to L2
    at += stride;
  }
};

// Sums of R columns of x times N vectors of dy. kAdd: to what stands in memory. kAhead: prefetches.
template <class P, int R, int N, bool kAdd, bool kAhead>
HWY_NOINLINE void accumulate_tile(const float* HWY_RESTRICT x, std::int64_t x_stride,
                                  const float* HWY_RESTRICT dy, std::int64_t dy_stride, std::int64_t words,
                                  const Row* columns, float* HWY_RESTRICT sums, Prefetch first,
                                  Prefetch second) {
  V acc[R][N];
  clear(acc);
  for (std::int64_t k = 0; k < words; ++k, x += x_stride, dy += dy_stride) {
    if constexpr (kAhead) {
      first.next();
      second.next();
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
  Prefetch first, second;  // each may be null; full tiles that add prefetch them
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
  // The pixels of the next piece, as a rule: each of the first tiles prefetches a line of dy of each, and in
  // the first panel every tile its part of x.
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
            .x_stride = neighbours ? kPackedColumns : kTileStride,
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
        tile.first = t < kLines ? Prefetch{args.next_dy + t * kLine<float>, args.dy_stride}
                                : Prefetch{args.next_x + (t - kLines) * kLine<float>, args.x_stride};
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
constexpr OuterFunctions functions() {
  return {.outer = &outer<P>, .add = &add};
}

template <class P, class X, class Y>
constexpr AccumulateFunctions<X, Y> accumulate_functions() {
  return {.pixels = kWords * P::kStep,
          .accumulate = &accumulate<P, X, Y>,
          .packed_x_floats = kTiles * kTileFloats,
          .packed_panel_floats = kPanelFloats};
}

}  // namespace

const OuterFunctions kOuter = functions<Floats>();
const AccumulateFunctions<float, float> kAccumulate = accumulate_functions<Floats, float, float>();
#if RESNET_BF16_TARGET
const OuterFunctions kOuterPairs = functions<Pairs>();
const AccumulateFunctions<float, BFloat16> kAccumulateMixed = accumulate_functions<Pairs, float, BFloat16>();
const AccumulateFunctions<BFloat16, BFloat16> kAccumulatePairs =
    accumulate_functions<Pairs, BFloat16, BFloat16>();
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {

template <>
const OuterFunctions& outer_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kOuter);
}
template <>
const OuterFunctions& outer_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kOuterPairs);
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

}  // namespace resnet::kernels
#endif

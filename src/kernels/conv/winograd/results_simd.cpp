// Weights to matrices, and products back to tiles of images and to gradients of weights.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/conv/winograd/transforms_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/winograd/results_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/conv/winograd/cuts.h"
// behind the above
#include "kernels/conv/norm_stats/epilogue_lanes.h"

HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv {
namespace HWY_NAMESPACE {
namespace {

// A tile's results, kOut x kOut. By itself, since what follows it has many variants, and those depend on kOut
// alone: cuts with as many outputs share them.
using Transform = void (*)(const float* from, std::int64_t stride, V* results);
template <class F>
HWY_NOINLINE void transform(const float* HWY_RESTRICT from, std::int64_t stride, V* HWY_RESTRICT results) {
  both_ways<F::kPoints, F::kOut, &F::output>(
      [&](int i, int j) HWY_ATTR { return hn::LoadU(d, from + (i * F::kPoints + j) * stride); },
      [&](int i, int j, V v) HWY_ATTR { results[i * F::kOut + j] = v; });
}

// kStream: whole lines go past the caches, which saves reading them first. Who reads the result next starts
// with what was written long ago.
template <class T, int kOut, bool kAdd, bool kStream, class Epilogue>
struct FromPoints {
  const TileSums<T>& args;
  Transform transform_tile;
  const float* from;
  std::int64_t first;                     // element of the image that the tile begins with
  std::int64_t top, left, bottom, right;  // pixels of the tile that the image has

  std::int64_t pixel() const { return args.tiles.c; }
  std::int64_t line() const { return args.tiles.w * args.tiles.c; }

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    const V b = args.bias != nullptr ? access.load(args.bias + c) : hn::Zero(d);
    if constexpr (std::is_same_v<Access, Whole>) prefetch_right(c);
    V results[kOut * kOut];
    transform_tile(from + c, args.point_stride, results);
    const auto place = [&](int i, int j) { return first + i * line() + j * pixel() + c; };
    const auto finished = [&](int i, int j) HWY_ATTR {
      V v = hn::Add(results[i * kOut + j], b);
      if constexpr (kAdd) v = hn::Add(v, access.load(args.addend + place(i, j)));
      return v;
    };
    const auto store = [&](V v, int i, int j) HWY_ATTR {
      if constexpr (kStream) {
        hn::Stream(v, d, args.image + place(i, j));
      } else {
        access.store(v, args.image + place(i, j));
      }
    };
    if constexpr (std::is_same_v<Epilogue, NoStats>) {
      for_pixels<Access>([&](auto, int i, int j) HWY_ATTR { store(finished(i, j), i, j); });
    } else {
      typename Epilogue::template At<T, Access> epilogue(args.stats, args.tiles.c, access, c);
      for_pixels<Access>([&]<int kOf>(std::integral_constant<int, kOf>, int i, int j) HWY_ATTR {
        store(epilogue.template apply<kOf>(finished(i, j), place(i, j)), i, j);
      });
      epilogue.store();
    }
  }

 private:
  // Calls run(which of two sums takes it, i, j) for the pixels that the image has.
  template <class Access, class Run>
  HWY_INLINE void for_pixels(const Run& run) const {
    constexpr std::integral_constant<int, 0> kEven;
    constexpr std::integral_constant<int, 1> kOdd;
    const bool all = top == 0 && left == 0 && bottom == kOut && right == kOut;
    if constexpr (std::is_same_v<Access, Part>) {
#pragma GCC unroll 1
      for (auto i = static_cast<int>(top); i < bottom; ++i) {
#pragma GCC unroll 1
        for (auto j = static_cast<int>(left); j < right; ++j)
          (all && j % 2 != 0) ? run(kOdd, i, j) : run(kEven, i, j);
      }
    } else if (all) {
      for (int i = 0; i < kOut; ++i) {
#pragma GCC unroll 6
        for (int j = 0; j < kOut; ++j) j % 2 == 0 ? run(kEven, i, j) : run(kOdd, i, j);
      }
    } else {
      for (auto i = static_cast<int>(top); i < bottom; ++i) {
        for (auto j = static_cast<int>(left); j < right; ++j) run(kEven, i, j);
      }
    }
  }
  // The tile to the right is written next; a hint may point anywhere.
  HWY_INLINE void prefetch_right(std::int64_t c) const {
    if (!begins_line<T>(c)) return;
#pragma GCC unroll 6
    for (int i = 0; i < kOut; ++i) {
#pragma GCC unroll 6
      for (int j = 0; j < kOut; ++j) {
        const std::int64_t at = first + i * line() + (j + kOut) * pixel() + c;
        if constexpr (kAdd) __builtin_prefetch(args.addend + at);
        if constexpr (!kStream) __builtin_prefetch(args.image + at, 1);
        if constexpr (!std::is_same_v<Epilogue, NoStats>) Epilogue::prefetch(args.stats, at);
      }
    }
  }
};

template <class T, int kOut, bool kAdd, bool kStream, class Epilogue>
HWY_NOINLINE void write_tile(const TileSums<T>& args, Transform transform_tile, std::int64_t t) {
  const Tiles& tiles = args.tiles;
  const Place place(tiles, tiles.begin + t, kOut);
  const FromPoints<T, kOut, kAdd, kStream, Epilogue> op = {
      args,
      transform_tile,
      args.points + t * args.row_stride,
      ((place.image * tiles.h + place.y) * tiles.w + place.x) * tiles.c,
      std::max<std::int64_t>(0, -place.y),
      std::max<std::int64_t>(0, -place.x),
      std::min<std::int64_t>(kOut, tiles.h - place.y),
      std::min<std::int64_t>(kOut, tiles.w - place.x)};
  if constexpr (kStream) {
    for (std::int64_t c = 0; c < tiles.c; c += kLanes) op.run(Whole(), c);
  } else {
    for_vectors(op, tiles.c);
  }
}

// The mean of the first tile, which is written once more later, becomes the shift.
template <class T, int kOut, bool kStream>
void find_shift(const TileSums<T>& args, Transform transform_tile) {
  const Tiles& tiles = args.tiles;
  write_tile<T, kOut, false, kStream, MomentsEpilogue>(args, transform_tile, 0);
  const Place place(tiles, tiles.begin, kOut);
  const auto pixels = static_cast<float>(std::min<std::int64_t>(kOut, tiles.h - place.y) *
                                         std::min<std::int64_t>(kOut, tiles.w - place.x));
  float* sums = args.stats.sums;
  for (std::int64_t c = 0; c < tiles.c; ++c) sums[c] = sums[tiles.c + c] / pixels;
  std::fill_n(sums + tiles.c, 2 * tiles.c, 0.0F);
}

template <class T, int kOut, bool kAdd, bool kStream, class Epilogue>
void write_from_points(const TileSums<T>& args, Transform transform_tile) {
  if (Epilogue::kSums) std::fill_n(args.stats.sums, 3 * args.tiles.c, 0.0F);
  if constexpr (std::is_same_v<Epilogue, MomentsEpilogue>) find_shift<T, kOut, kStream>(args, transform_tile);
  for (std::int64_t t = 0; t < args.tiles.count; ++t)
    write_tile<T, kOut, kAdd, kStream, Epilogue>(args, transform_tile, t);
  if (kStream) hwy::FlushStream();
}

template <class T, int kOut, bool kAdd, class Epilogue>
void results_from_points(const TileSums<T>& args, Transform transform_tile) {
  if constexpr (resnet::kernels::HWY_NAMESPACE::kStreams<T>) {
    if (args.tiles.c % kLanes == 0)
      return write_from_points<T, kOut, kAdd, true, Epilogue>(args, transform_tile);
  }
  write_from_points<T, kOut, kAdd, false, Epilogue>(args, transform_tile);
}

template <class T, int kOut, bool kAdd>
void add_from_points(const TileSums<T>& args, Transform transform_tile) {
  if (args.stats.what == Stats::gradient_by_coefficients)
    return results_from_points<T, kOut, kAdd, GradientSumsEpilogue<false>>(args, transform_tile);
  if (args.stats.what == Stats::gradient_by_relu_mask)
    return results_from_points<T, kOut, kAdd, GradientSumsEpilogue<true>>(args, transform_tile);
  results_from_points<T, kOut, kAdd, NoStats>(args, transform_tile);
}

template <class T, class F>
void from_points(const TileSums<T>& args) {
  constexpr int kOut = F::kOut;
  if constexpr (F::kForward) {
    if (args.stats.what == Stats::moments)
      return results_from_points<T, kOut, false, MomentsEpilogue>(args, &transform<F>);
    if (args.stats.what == Stats::normalized) {
      return args.stats.x != nullptr
                 ? results_from_points<T, kOut, false, Normalize<true>>(args, &transform<F>)
                 : results_from_points<T, kOut, false, Normalize<false>>(args, &transform<F>);
    }
  }
  if constexpr (F::kGradient) {
    return args.addend != nullptr ? add_from_points<T, kOut, true>(args, &transform<F>)
                                  : add_from_points<T, kOut, false>(args, &transform<F>);
  }
  results_from_points<T, kOut, false, NoStats>(args, &transform<F>);
}

// Weights go past the caches where a vector is a line: other threads read most of them, and to fetch what is
// changed in another core's cache costs more than to read memory where cores share none.
HWY_INLINE void store_weights(V v, float* p) {
  resnet::kernels::HWY_NAMESPACE::kStreams<float> ? hn::Stream(v, d, p) : hn::StoreU(v, d, p);
}

// One vector of weights of neighbouring outputs; of two inputs where words are pairs.
template <class F, bool kPairs>
struct Weights {
  const float* w;
  std::int64_t tap;   // floats between taps
  std::int64_t next;  // and to the weights of the next input, or 0 where there is none
  float* to;
  std::int64_t stride;

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    const auto load = [&](int i, int j) HWY_ATTR { return access.load(w + (i * 3 + j) * tap + c); };
    float* HWY_RESTRICT out = to + c;
    if constexpr (kPairs) {
#if RESNET_BF16_TARGET
      V low[F::kMatrices * F::kMatrices];
      transform_both_ways<Access, 3, F::kMatrices, &F::weights>(
          load, [&](int i, int j, V v) HWY_ATTR { low[i * F::kMatrices + j] = v; });
      const auto load_next = [&](int i, int j) HWY_ATTR {
        return next == 0 ? hn::Zero(d) : access.load(w + (i * 3 + j) * tap + next + c);
      };
      transform_both_ways<Access, 3, F::kMatrices, &F::weights>(load_next, [&](int i, int j, V v) HWY_ATTR {
        store_weights(pairs_of(low[i * F::kMatrices + j], v), out + (i * F::kMatrices + j) * stride);
      });
#endif
    } else {
      transform_both_ways<Access, 3, F::kMatrices, &F::weights>(
          load, [&](int i, int j, V v) HWY_ATTR { store_weights(v, out + (i * F::kMatrices + j) * stride); });
    }
  }
};

// What an input gradient needs: weights of kTurned of its inputs, turned by 180 degrees, as they would stand
// in memory if they belonged to a forward pass.
constexpr std::int64_t kTurned = 8;
constexpr std::int64_t kTurnedColumns = 64;  // of a panel, at most
HWY_INLINE void turn(const WeightTransform& args, std::int64_t k, std::int64_t first, std::int64_t columns,
                     float* HWY_RESTRICT to) {
  const std::int64_t count = std::min(kTurned, args.co - k);
  for (std::int64_t tap = 0; tap < 9; ++tap, to += kTurned * kTurnedColumns) {
    const float* HWY_RESTRICT from = args.w + (8 - tap) * args.ci * args.co + first * args.co + k;
    for (std::int64_t j = 0; j < columns; ++j, from += args.co) {
      for (std::int64_t i = 0; i < count; ++i) to[i * kTurnedColumns + j] = from[i];
    }
  }
}

template <class F, bool kPairs>
void weights(const WeightTransform& args) {
  constexpr std::int64_t kStep = kPairs ? 2 : 1;
  const std::int64_t in = args.mirrored ? args.co : args.ci, out = args.mirrored ? args.ci : args.co;
  const std::int64_t first = args.panel * args.panel_columns;
  const std::int64_t columns = std::min(args.panel_columns, out - first);
  const std::int64_t width = (columns + kLanes - 1) / kLanes * kLanes;
  HWY_ALIGN float turned[9 * kTurned * kTurnedColumns];
  Weights<F, kPairs> op = {.w = nullptr,
                           .tap = args.mirrored ? kTurned * kTurnedColumns : args.ci * args.co,
                           .next = 0,
                           .to = args.points + args.panel * args.panel_words + args.begin / kStep * width,
                           .stride = args.point_stride};
  for (std::int64_t k = args.begin; k < args.end; k += kStep, op.to += width) {
    const std::int64_t in_block = (k - args.begin) % kTurned;
    if (args.mirrored && in_block == 0) turn(args, k, first, columns, turned);
    op.w = args.mirrored ? turned + in_block * kTurnedColumns : args.w + k * args.co + first;
    op.next = k + 1 == in ? 0 : args.mirrored ? kTurnedColumns : args.co;
    for_vectors(op, columns);
  }
  hwy::FlushStream();
}

template <class F>
struct Result {
  const float* from;
  std::int64_t stride;
  float* dw;
  std::int64_t tap;

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    transform_both_ways<Access, F::kMatrices, 3, &F::weight_result>(
        [&](int i, int j) HWY_ATTR { return hn::LoadU(d, from + c + (i * F::kMatrices + j) * stride); },
        [&](int i, int j, V v) HWY_ATTR { access.store(v, dw + c + (i * 3 + j) * tap); });
  }
};

template <class F>
void weight_result(const WeightResult& args) {
  for (std::int64_t k = args.begin; k < args.end; ++k) {
    for_vectors(Result<F>{args.points + k * args.row_stride, args.point_stride, args.dw + k * args.co,
                          args.ci * args.co},
                args.co);
  }
}

template <class T, class F>
constexpr WinogradFunctions<T> product_functions() {
  return {.axis_points = F::kPoints,
          .axis_matrices = F::kMatrices,
          .output_step = F::kOut,
          .output = &from_points<T, F>,
          .weights = &weights<typename F::Weights, !std::is_same_v<T, float>>};
}

template <class T, class F>
constexpr WinogradFunctions<T> functions() {
  WinogradFunctions<T> result = product_functions<T, F>();
  result.weight_result = &weight_result<F>;
  return result;
}

}  // namespace

// By Cut3x3.
const WinogradFunctions<float> kFunctions[] = {functions<float, F3>(),
                                               functions<float, F4>(),
                                               functions<float, F6>(),
                                               functions<float, Parity>(),
                                               product_functions<float, ParityGradient<false>>(),
                                               product_functions<float, ParityGradient<true>>()};
#if RESNET_BF16_TARGET
const WinogradFunctions<BFloat16> kFunctionsBf16[] = {functions<BFloat16, F3>(),
                                                      functions<BFloat16, F4>(),
                                                      WinogradFunctions<BFloat16>(),
                                                      functions<BFloat16, Parity>(),
                                                      product_functions<BFloat16, ParityGradient<false>>(),
                                                      product_functions<BFloat16, ParityGradient<true>>()};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels::conv {

template <>
const WinogradFunctions<float>& winograd_functions<float>(Isa isa, Cut3x3 cut) {
  return RESNET_FOR_ISA(isa, kFunctions)[static_cast<std::size_t>(cut)];
}
template <>
const WinogradFunctions<BFloat16>& winograd_functions<BFloat16>(Isa, Cut3x3 cut) {
  return RESNET_FOR_BF16(kFunctionsBf16)[static_cast<std::size_t>(cut)];
}

}  // namespace resnet::kernels::conv
#endif

// The products of a stem's weight gradient.
#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/conv/stem/stem_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/stem/products_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/matmul/tiles.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using resnet::kernels::kTileRows;
using resnet::kernels::HWY_NAMESPACE::clear;
using resnet::kernels::HWY_NAMESPACE::d;
using resnet::kernels::HWY_NAMESPACE::Floats;
using resnet::kernels::HWY_NAMESPACE::kLanes;
using resnet::kernels::HWY_NAMESPACE::kPanel;
using resnet::kernels::HWY_NAMESPACE::kVectors;
using resnet::kernels::HWY_NAMESPACE::Tiling;
using resnet::kernels::HWY_NAMESPACE::V;
using Index = std::int64_t;

// R columns of x times N vectors of dy. x is read where it stands: neighbouring columns of different rows of
// the kernel need no packing, and a run has only a few rows of x.
template <class P, int R, int N>
HWY_NOINLINE void accumulate_tile(const RunArgs& a, const Row* columns) {
  V acc[R][N];
  clear(acc);
  for (Index i = 0; i < a.run_count; ++i) {
    const PixelRun run = a.runs[i];
    const float* in[R];
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) in[r] = a.x + run.in + columns[r].in;
    const float* HWY_RESTRICT dy = a.dy + run.out;
    const Index end = run.count * a.x_step;
    for (Index at = 0; at < end; at += P::kStep * a.x_step, dy += kPanel) {
      V b[N];
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) b[v] = hn::Load(d, dy + v * kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
        const V x = hn::Set(d, in[r][at]);
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) acc[r][v] = P::mul_add(x, b[v], acc[r][v]);
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      float* HWY_RESTRICT sum = a.sums + columns[r].out + v * kLanes;
      hn::Store(hn::Add(hn::Load(d, sum), acc[r][v]), d, sum);
    }
  }
}

// A tile of as many rows as `rows` says, at most R; and likewise N vectors.
template <class P, int R, int N>
void accumulate_rows(const RunArgs& a, const Row* columns, Index rows) {
  if constexpr (R > 1) {
    if (rows < R) return accumulate_rows<P, R - 1, N>(a, columns, rows);
  }
  accumulate_tile<P, R, N>(a, columns);
}

template <class P, int N>
void accumulate_columns(const RunArgs& a, Index vectors) {
  if constexpr (N > 1) {
    if (vectors < N) return accumulate_columns<P, N - 1>(a, vectors);
  }
  const Tiling tiling(a.column_count);
  for (Index t = 0; t < tiling.number(); ++t)
    accumulate_rows<P, kTileRows, N>(a, a.columns + tiling.begin(t), tiling.size(t));
}

#if RESNET_BF16_TARGET
using resnet::kernels::HWY_NAMESPACE::Pairs;
using resnet::kernels::HWY_NAMESPACE::pairs_of;
using resnet::kernels::HWY_NAMESPACE::Part;

// A run's pixels of dy to words of two pixels, an odd last one beside zeros, where the run begins.
void pair_runs(const RunArgs& a, Index vectors) {
  for (Index i = 0; i < a.run_count; ++i) {
    float* from = a.dy + a.runs[i].out;
    float* to = from;
    for (Index k = 0; k < a.runs[i].count; k += 2, from += 2 * kPanel, to += kPanel) {
      for (Index v = 0; v < vectors * kLanes; v += kLanes) {
        const V second = k + 1 < a.runs[i].count ? hn::Load(d, from + kPanel + v) : hn::Zero(d);
        hn::Store(pairs_of(hn::Load(d, from + v), second), d, to + v);
      }
    }
  }
}

// Words of each number and that `step` further on.
void pair_pixels(const float* HWY_RESTRICT x, Index count, Index step, float* HWY_RESTRICT words) {
  for (Index i = 0; i < count; i += kLanes) {
    const Index first = std::min(kLanes, count - i), second = std::clamp<Index>(count - step - i, 0, kLanes);
    Part(first).store(pairs_of(Part(first).load(x + i), Part(second).load(x + i + step)), words + i);
  }
}
#endif

template <class P>
void accumulate(const RunArgs& a) {
  const Index vectors = (a.channels + kLanes - 1) / kLanes;
#if RESNET_BF16_TARGET
  if constexpr (P::kStep == 2) pair_runs(a, vectors);
#endif
  accumulate_columns<P, kVectors>(a, vectors);
}

// ---- sums of products of x with itself

// A tile: 12 sums, and 3 + 1 registers. The rows of few channels make vectors, but not many.
constexpr int kGramRows = 4, kGramVectors = 3;

// Of a word of two pixels the first alone.
HWY_INLINE float first_pixel(float word) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(word) & 0xFFFFU);
}

template <class P, int R, int N>
HWY_NOINLINE void gram_tile(const GramArgs& a, Index first_left, Index first_right) {
  V acc[R][N];
  clear(acc);
  const float* left[R];
  const float* right[N];
  for (int r = 0; r < R; ++r) left[r] = a.left[first_left + r];
  for (int v = 0; v < N; ++v) right[v] = a.right[first_right + v];
  const auto add = [&](Index at, const auto& word) HWY_ATTR {
    V b[N];
#pragma GCC unroll 3
    for (int v = 0; v < N; ++v) b[v] = hn::LoadU(d, right[v] + at);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const V x = hn::Set(d, word(left[r][at]));
#pragma GCC unroll 3
      for (int v = 0; v < N; ++v) acc[r][v] = P::mul_add(x, b[v], acc[r][v]);
    }
  };
  const Index odd = a.pixels % P::kStep, end = (a.pixels - odd) * a.step;
  for (Index at = 0; at < end; at += P::kStep * a.step) add(at, [](float word) { return word; });
  if (odd != 0) add(end, &first_pixel);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < N; ++v) {
      float* HWY_RESTRICT sum = a.sums + (first_left + r) * a.sums_stride + (first_right + v) * kLanes;
      hn::StoreU(hn::Add(hn::LoadU(d, sum), acc[r][v]), d, sum);
    }
  }
}

template <class P, int R, int N>
void gram_vectors(const GramArgs& a, Index left, Index right, Index vectors) {
  if constexpr (N > 1) {
    if (vectors < N) return gram_vectors<P, R, N - 1>(a, left, right, vectors);
  }
  gram_tile<P, R, N>(a, left, right);
}

template <class P, int R>
void gram_rows(const GramArgs& a, Index left, Index rows) {
  if constexpr (R > 1) {
    if (rows < R) return gram_rows<P, R - 1>(a, left, rows);
  }
  const Index tiles = (a.right_count + kGramVectors - 1) / kGramVectors;
  for (Index t = 0; t < tiles; ++t) {
    const Index first = a.right_count * t / tiles;
    gram_vectors<P, R, kGramVectors>(a, left, first, a.right_count * (t + 1) / tiles - first);
  }
}

template <class P>
void gram(const GramArgs& a) {
  const Index tiles = (a.left_count + kGramRows - 1) / kGramRows;
  for (Index t = 0; t < tiles; ++t) {
    const Index first = a.left_count * t / tiles;
    gram_rows<P, kGramRows>(a, first, a.left_count * (t + 1) / tiles - first);
  }
}

// dy of the runs, 12 KiB with AVX2 and 24 with AVX-512, stays in L1 while the tiles pass by.
constexpr Index kRunPixels = HWY_TARGET == HWY_AVX2 ? 192 : 96;

template <class T, class P>
constexpr StemProductFunctions<T> functions() {
  return {.run_pixels = kRunPixels, .accumulate = &accumulate<P>, .gram = &gram<P>};
}

}  // namespace

const StemProductFunctions<float> kProducts = functions<float, Floats>();
#if RESNET_BF16_TARGET
const StemProductFunctions<BFloat16> kProductsBf16 = [] {
  StemProductFunctions<BFloat16> result = functions<BFloat16, Pairs>();
  result.pair = &pair_pixels;
  return result;
}();
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels::conv {
template <>
const StemProductFunctions<float>& stem_product_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kProducts);
}
template <>
const StemProductFunctions<BFloat16>& stem_product_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kProductsBf16);
}
}  // namespace resnet::kernels::conv
#endif

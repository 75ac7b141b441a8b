// Products of rows that an index table finds with packed panels: forward passes and input gradients.
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/matmul/matmul_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/multiply_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/matmul/tiles.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

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
// kAhead: how many lines of `ahead` are prefetched a column, to L2.
template <class P, int R, int N, int kAhead>
HWY_NOINLINE void multiply_tile(const MultiplyArgs& args, const Row* rows, const float* ahead,
                                const Columns& columns) {
  const float* in[R];
  V acc[R][N];
  clear(acc);
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) in[r] = args.source + rows[r].in;
  if (kAhead == 0 && columns.offsets != nullptr) {
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
#pragma GCC unroll 4
        for (int line = 0; line < kAhead; ++line) __builtin_prefetch(ahead + line * kLine<float>, 0, 2);
        if constexpr (kAhead != 0) ahead += kAhead * kLine<float>;
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

// Smaller tiles leave no time to prefetch in.
constexpr int kFewestAhead = 4, kFewestVectorsAhead = kVectors / 2;

template <class P, int N>
void multiply_panel(const MultiplyArgs& args) {
  const Tiling tiling(args.count);
  const ShortSegments segments(args);
  const Columns& flat = segments.columns();
  std::int64_t columns = 0;  // of next_panel, which is as large as this one
  for (std::int64_t s = 0; args.next_panel != nullptr && s < args.segment_count; ++s)
    columns += args.segments[s].length;
  // Each of the first full tiles prefetches its part of the lines. Where those are too few, the first tile
  // prefetches all of them.
  constexpr int kLines = N * kLanes / kLine<float>;  // of a column
  const bool at_once = N >= kFewestVectorsAhead && (tiling.number() < kLines || tiling.size(0) < kTileRows);
  for (std::int64_t t = 0; t < tiling.number(); ++t) {
    const Row* rows = args.rows + tiling.begin(t);
    const bool asks = args.next_panel != nullptr && t < (at_once ? 1 : kLines);
    const float* ahead = asks ? args.next_panel + t * columns * kLine<float> : nullptr;
    const auto tile = [&]<int R>(std::integral_constant<int, R>) HWY_ATTR {
      if constexpr (R >= kFewestAhead && N >= kFewestVectorsAhead && kLines > 1) {
        if (asks && at_once) return multiply_tile<P, R, N, kLines>(args, rows, ahead, flat);
      }
      if constexpr (R == kTileRows || (R >= kFewestAhead && N >= kFewestVectorsAhead && kLines == 1)) {
        if (asks) return multiply_tile<P, R, N, 1>(args, rows, ahead, flat);
      }
      multiply_tile<P, R, N, 0>(args, rows, nullptr, flat);
    };
    switch (tiling.size(t)) {
      case 1:
        tile(std::integral_constant<int, 1>());
        break;
      case 2:
        tile(std::integral_constant<int, 2>());
        break;
      case 3:
        tile(std::integral_constant<int, 3>());
        break;
      case 4:
        tile(std::integral_constant<int, 4>());
        break;
      case 5:
        tile(std::integral_constant<int, 5>());
        break;
      default:
        tile(std::integral_constant<int, kTileRows>());
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

template <class P>
constexpr MatmulFunctions functions() {
  return {.lanes = kLanes, .columns = kPanel, .multiply = &multiply<P>};
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

const MatmulFunctions kFloats = functions<Floats>();
#if RESNET_BF16_TARGET
const MatmulFunctions kPairs = functions<Pairs>();
void (*const kRound)(const float*, const BFloat16*, BFloat16*, std::int64_t) = &round_to_bf16;
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {

template <>
const MatmulFunctions& matmul_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kFloats);
}
template <>
const MatmulFunctions& matmul_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kPairs);
}
void round_to_bf16(const float* from, const BFloat16* addend, BFloat16* to, std::int64_t count) {
  RESNET_FOR_BF16(kRound)(from, addend, to, count);
}

}  // namespace resnet::kernels
#endif

#include "kernels/conv/grouped/grouped_simd.h"

#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/grouped/grouped_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/simd/lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv::grouped {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using resnet::kernels::HWY_NAMESPACE::D;
using resnet::kernels::HWY_NAMESPACE::Part;
using resnet::kernels::HWY_NAMESPACE::V;
using resnet::kernels::HWY_NAMESPACE::Whole;

constexpr D d;
constexpr std::int64_t kLanes = static_cast<std::int64_t>(HWY_LANES(float));
constexpr std::int64_t kAhead = 12;  // pixels, which are too far apart for the hardware to fetch them ahead

// N channels j from `first` on.
template <class T, int N>
HWY_INLINE void spread_channels(const SpreadArgs& a, std::int64_t first) {
  const auto lanes = hn::SetTableIndices(d, a.lanes);
  const Part access(a.span);
  const std::int64_t pixel = a.pixel, plane = a.plane, count = a.count;
  const T* from = static_cast<const T*>(a.source) + first;
  float* to = a.to + a.before * kLanes + first * plane;
  for (std::int64_t i = 0; i < count; ++i, from += pixel, to += kLanes) {
    __builtin_prefetch(from + kAhead * pixel);
    float* line = to;
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j, line += plane)
      hn::Store(hn::TableLookupLanes(access.load(from + j), lanes), d, line);
  }
}

template <class T>
void spread_vectors(const SpreadArgs& a) {
  std::int64_t j = 0;
  for (; j + 8 <= a.channels; j += 8) spread_channels<T, 8>(a, j);
  if (a.channels - j >= 4) spread_channels<T, 4>(a, j), j += 4;
  for (; j < a.channels; ++j) spread_channels<T, 1>(a, j);
  for (j = 0; a.before + a.after > 0 && j < a.channels; ++j) {
    float* const line = a.to + j * a.plane;
    for (std::int64_t i = 0; i < a.before; ++i) hn::Store(hn::Zero(d), d, line + i * kLanes);
    for (std::int64_t i = 0; i < a.after; ++i)
      hn::Store(hn::Zero(d), d, line + (a.before + a.count + i) * kLanes);
  }
}

using D4 = hn::CappedTag<float, 4>;
HWY_INLINE hn::Vec<D4> load_four(const float* p) {
  return hn::LoadU(D4(), p);
}
#if RESNET_BF16_TARGET
HWY_INLINE hn::Vec<D4> load_four(const BFloat16* p) {
  const __m128i words = _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return hn::Vec<D4>{_mm_castsi128_ps(_mm_slli_epi32(words, 16))};
}
#endif
// Four channels of four pixels, turned.
template <class T>
HWY_INLINE void turn(const T* from, std::int64_t pixel, float* to, std::int64_t plane) {
  const D4 d4;
  const auto a = load_four(from), b = load_four(from + pixel), c = load_four(from + 2 * pixel),
             e = load_four(from + 3 * pixel);
  const auto ac0 = hn::InterleaveLower(d4, a, c), be0 = hn::InterleaveLower(d4, b, e);
  const auto ac1 = hn::InterleaveUpper(d4, a, c), be1 = hn::InterleaveUpper(d4, b, e);
  hn::StoreU(hn::InterleaveLower(d4, ac0, be0), d4, to);
  hn::StoreU(hn::InterleaveUpper(d4, ac0, be0), d4, to + plane);
  hn::StoreU(hn::InterleaveLower(d4, ac1, be1), d4, to + 2 * plane);
  hn::StoreU(hn::InterleaveUpper(d4, ac1, be1), d4, to + 3 * plane);
}

template <class T>
void spread_numbers(const SpreadArgs& a) {
  const T* const source = static_cast<const T*>(a.source);
  const auto zero = [&](std::int64_t i) HWY_ATTR {
    for (std::int64_t j = 0; j < a.channels; ++j) a.to[i + j * a.plane] = 0;
  };
  for (std::int64_t i = 0; i < a.before; ++i) zero(i);
  for (std::int64_t i = 0; i < a.after; ++i) zero(a.before + a.count + i);
  const auto copy = [&](std::int64_t i, std::int64_t first) HWY_ATTR {
    for (std::int64_t j = first; j < a.channels; ++j)
      a.to[a.before + i + j * a.plane] = static_cast<float>(source[i * a.pixel + j]);
  };
  std::int64_t i = 0;
  for (; i + 4 <= a.count; i += 4) {
    std::int64_t j = 0;
    for (; j + 4 <= a.channels; j += 4)
      turn(source + i * a.pixel + j, a.pixel, a.to + a.before + i + j * a.plane, a.plane);
    for (std::int64_t k = 0; k < 4; ++k) copy(i + k, j);
  }
  for (; i < a.count; ++i) copy(i, 0);
}

template <class T, class Access>
HWY_INLINE bool pack_as(const Access& access, const T* from, std::int64_t pixel, std::int64_t count,
                        float* to) {
  V rest = hn::Zero(d);  // a difference with itself is zero where it is finite, else NaN
  for (std::int64_t i = 0; i < count; ++i, from += pixel, to += kLanes) {
    const V v = access.load(from);
    rest = hn::Add(rest, hn::Sub(v, v));
    hn::Store(v, d, to);
  }
  return hn::AllTrue(d, hn::Eq(rest, rest));
}

template <class T>
bool pack(const void* from, std::int64_t pixel, std::int64_t count, std::int64_t width, float* to) {
  const T* const source = static_cast<const T*>(from);
  return width == kLanes ? pack_as(Whole(), source, pixel, count, to)
                         : pack_as(Part(width), source, pixel, count, to);
}

#if RESNET_BF16_TARGET
template <class Access>
HWY_INLINE void round_as(const Access& access, const float* tile, std::int64_t count, const BFloat16* addend,
                         BFloat16* out, std::int64_t pixel) {
  for (std::int64_t i = 0; i < count; ++i) {
    const V v = hn::Load(d, tile + i * kLanes);
    access.store(addend != nullptr ? hn::Add(v, access.load(addend + i * pixel)) : v, out + i * pixel);
  }
}
void round_pixels(const float* tile, std::int64_t count, std::int64_t width, const BFloat16* addend,
                  BFloat16* out, std::int64_t pixel) {
  if (width == kLanes) {
    round_as(Whole(), tile, count, addend, out, pixel);
  } else {
    round_as(Part(width), tile, count, addend, out, pixel);
  }
}
#endif

template <bool kBroadcast>
constexpr std::int64_t kUnit = kBroadcast ? 1 : kLanes;
template <bool kBroadcast>
HWY_INLINE V load_unit(const float* p) {
  if constexpr (kBroadcast) return hn::Set(d, *p);
  return hn::Load(d, p);
}

template <int kPixels, class Access>
HWY_INLINE void store_tile(const TileArgs& a, const Access& access, const V (&sums)[kPixels]) {
#pragma GCC unroll 14
  for (int i = 0; i < kPixels; ++i) {
    const V v = a.addend != nullptr ? hn::Add(sums[i], access.load(a.addend + i * a.out_pixel)) : sums[i];
    access.store(v, a.out + i * a.out_pixel);
  }
}

template <int kPixels, bool kBroadcast>
void multiply(const TileArgs& a) {
  V sums[kPixels];
  const V bias = hn::Load(d, a.bias);
#pragma GCC unroll 14
  for (int i = 0; i < kPixels; ++i) sums[i] = bias;
  for (std::int64_t r = 0; r < a.row_count; ++r) {
    for (std::int64_t c = 0; c < a.column_count; ++c) {
      const float* HWY_RESTRICT x = a.x + (a.at + a.rows[r].x + a.columns[c].x);
      const float* HWY_RESTRICT w =
          a.weights + (a.rows[r].k * a.kernel_columns + a.columns[c].k) * a.channels * kLanes;
      for (std::int64_t j = 0; j < a.channels; ++j, x += a.plane, w += kLanes) {
        const V weight = hn::Load(d, w);
#pragma GCC unroll 14
        for (int i = 0; i < kPixels; ++i)
          sums[i] = hn::MulAdd(load_unit<kBroadcast>(x + i * kUnit<kBroadcast>), weight, sums[i]);
      }
    }
  }
  if (a.width == kLanes) {
    store_tile(a, Whole(), sums);
  } else {
    store_tile(a, Part(a.width), sums);
  }
}

template <int kSums, bool kBroadcast>
HWY_INLINE void add_column(const float* const (&x)[kSums], std::int64_t at, const float* dy,
                           V (&sums)[kSums]) {
  const V factor = hn::Load(d, dy);
#pragma GCC unroll 12
  for (int t = 0; t < kSums; ++t) sums[t] = hn::MulAdd(load_unit<kBroadcast>(x[t] + at), factor, sums[t]);
}

// Few sums would wait for themselves: those are two each, of even and odd columns.
template <int kSums, bool kBroadcast>
void add_sums(const SumsArgs& a) {
  constexpr bool kTwo = kSums <= 6;
  V sums[kSums], odd[kSums];
  const float* x[kSums];
#pragma GCC unroll 12
  for (int t = 0; t < kSums; ++t) {
    sums[t] = odd[t] = hn::Zero(d);
    x[t] = a.x + a.at[t];
  }
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const float* dy = a.dy + r * a.dy_row;
    std::int64_t at = r * a.x_row, c = 0;
    if constexpr (kTwo) {
      for (; c + 2 <= a.columns; c += 2, at += 2 * kUnit<kBroadcast>, dy += 2 * kLanes) {
        add_column<kSums, kBroadcast>(x, at, dy, sums);
        add_column<kSums, kBroadcast>(x, at + kUnit<kBroadcast>, dy + kLanes, odd);
      }
    }
    for (; c < a.columns; ++c, at += kUnit<kBroadcast>, dy += kLanes)
      add_column<kSums, kBroadcast>(x, at, dy, sums);
  }
#pragma GCC unroll 12
  for (int t = 0; t < kSums; ++t) {
    const V sum = kTwo ? hn::Add(sums[t], odd[t]) : sums[t];
    float* const to = a.sums + a.sums_at[t];
    hn::Store(hn::Add(hn::Load(d, to), sum), d, to);
  }
}

template <int... kIndex>
constexpr ProductFunctions tiles(std::integer_sequence<int, kIndex...>) {
  return {kLanes, {nullptr, &multiply<kIndex + 1, false>...}, {nullptr, &multiply<kIndex + 1, true>...}};
}
template <int... kIndex>
constexpr SumsFunctions sums_of(std::integer_sequence<int, kIndex...>) {
  return {kLanes, {nullptr, &add_sums<kIndex + 1, false>...}, {nullptr, &add_sums<kIndex + 1, true>...}};
}

}  // namespace

const SpreadFunctions kSpread = {&spread_vectors<float>, &spread_numbers<float>, &pack<float>};
#if RESNET_BF16_TARGET
const SpreadFunctions kSpreadBf16 = {&spread_vectors<BFloat16>, &spread_numbers<BFloat16>, &pack<BFloat16>};
const RoundTile kRoundTile = &round_pixels;
#endif
const ProductFunctions kProduct = tiles(std::make_integer_sequence<int, kTilePixels>());
const SumsFunctions kSumsFunctions = sums_of(std::make_integer_sequence<int, kTileSums>());

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv::grouped
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels::conv::grouped {

const SpreadFunctions& spread_functions(Isa isa, DType source) {
  return source == DType::bf16 ? RESNET_FOR_BF16(kSpreadBf16) : RESNET_FOR_ISA(isa, kSpread);
}
RoundTile round_tile() {
  return RESNET_FOR_BF16(kRoundTile);
}
const ProductFunctions& product_functions(Isa isa) {
  return RESNET_FOR_ISA(isa, kProduct);
}
const SumsFunctions& sums_functions(Isa isa) {
  return RESNET_FOR_ISA(isa, kSumsFunctions);
}

}  // namespace resnet::kernels::conv::grouped
#endif

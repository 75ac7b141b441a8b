// Vectors of f32 read and written whole or in part, from memory of f32 or bf16, and sweeps made of them.
// For the vector part of a *_simd.cpp file, inside its RESNET_VECTOR_TARGET; like that part it is read
// once a target and has no guard.
#include <hwy/cache_control.h>

#include <cstddef>
#include <cstdint>

#include "resnet/tensor.h"

HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// Elements of a vector.
HWY_INLINE std::int64_t lanes() {
  return static_cast<std::int64_t>(hn::Lanes(D()));
}

/// Whether a vector of T is a whole line, which can go past the caches without being read first: hn::Stream,
/// then hwy::FlushStream before others may read.
template <class T>
constexpr bool kStreams = sizeof(T) * HWY_LANES(float) == 64;

#if RESNET_BF16_TARGET
// Highway 1.0 rounds to bf16 by cutting, and knows no AVX512-BF16; written in assembly, the two
// instructions need no compiler flag that would let others slip into code for AVX-512 alone. Kernels on
// bf16 are made for Isa::avx512_bf16 only.

/// Rounds to the nearest.
HWY_INLINE __m256i to_bf16(V v) {
  __m256i half;
  __asm__("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(v.raw));
  return half;
}
/// Words of bf16: `low` in their lower halves.
HWY_INLINE V pairs_of(V low, V high) {
  const __m512i upper = _mm512_slli_epi32(_mm512_cvtepu16_epi32(to_bf16(high)), 16);
  return V{_mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(to_bf16(low)), upper))};
}
/// sum + the two products of each lane's pair of bf16.
HWY_INLINE V add_pair_products(V sum, V a, V b) {
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
  return sum;
}
HWY_INLINE V from_bf16(__m256i half) {
  return V{_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}
#endif

/// All lanes.
struct Whole {
  HWY_INLINE V load(const float* p) const { return hn::LoadU(D(), p); }
  HWY_INLINE void store(V v, float* p) const { hn::StoreU(v, D(), p); }
#if RESNET_BF16_TARGET
  HWY_INLINE V load(const BFloat16* p) const {
    return from_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  HWY_INLINE void store(V v, BFloat16* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_bf16(v));
  }
#endif
};

/// The first `count` lanes; the others read as zero and are not written.
struct Part {
  std::int64_t count;
  hn::Mask<D> mask;
  HWY_INLINE explicit Part(std::int64_t n) : count(n), mask(hn::FirstN(D(), static_cast<std::size_t>(n))) {}
  HWY_INLINE V load(const float* p) const { return hn::MaskedLoad(mask, D(), p); }
  HWY_INLINE void store(V v, float* p) const { hn::BlendedStore(v, mask, D(), p); }
#if RESNET_BF16_TARGET
  HWY_INLINE V load(const BFloat16* p) const {
    return from_bf16(_mm256_maskz_loadu_epi16(mask.raw, p));
  }
  HWY_INLINE void store(V v, BFloat16* p) const {
    _mm256_mask_storeu_epi16(p, mask.raw, to_bf16(v));
  }
#endif
};

/// Calls op.run<K>(access, i, j) for every vector of the elements [begin, end): K vectors, one period
/// (whole vectors) apart, the first at element i, all at place j of the period that starts at `begin`.
/// Four at a time share what is read from tables.
template <class Op>
HWY_INLINE void sweep(const Op& op, std::int64_t begin, std::int64_t end, std::int64_t period) {
  std::int64_t i = begin;
  for (; i + 4 * period <= end; i += 4 * period) {
    for (std::int64_t j = 0; j < period; j += lanes()) op.template run<4>(Whole(), i + j, j);
  }
  for (; i + period <= end; i += period) {
    for (std::int64_t j = 0; j < period; j += lanes()) op.template run<1>(Whole(), i + j, j);
  }
  std::int64_t j = 0;
  for (; i + j + lanes() <= end; j += lanes()) op.template run<1>(Whole(), i + j, j);
  if (i + j < end) op.template run<1>(Part(end - i - j), i + j, j);
}

/// As sweep(), where there are no tables: K vectors side by side, the first at element i.
template <class Op>
HWY_INLINE void sweep_flat(const Op& op, std::int64_t count) {
  sweep(op, 0, count, lanes());
}

/// For sweep_flat(): y = f(a, b), element by element; `y` may be `a` or `b`.
template <class T, class F>
struct Map {
  const T *a, *b;
  T* y;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, std::int64_t first, std::int64_t) const {
    for (int k = 0; k < K; ++k) {
      const std::int64_t i = first + k * lanes();
      at.store(F()(at.load(a + i), at.load(b + i)), y + i);
    }
  }
};

/// As sweep(), for an op that adds what it sees to `block`, `kinds` tables of one period. Their totals
/// are left in `sums`. After 32 periods a block is added to the totals, so that a chunk of 1024 periods
/// takes 64 additions in a row instead of 1024.
template <class Op>
HWY_INLINE void sweep_sums(const Op& op, std::int64_t count, std::int64_t period, int kinds, float* block,
                           float* sums) {
  const V zero = hn::Zero(D());
  const std::int64_t size = kinds * period;
  for (std::int64_t i = 0; i < size; i += lanes()) {
    hn::StoreU(zero, D(), block + i);
    hn::StoreU(zero, D(), sums + i);
  }
  for (std::int64_t begin = 0; begin < count; begin += 32 * period) {
    const std::int64_t end = begin + 32 * period < count ? begin + 32 * period : count;
    sweep(op, begin, end, period);
    for (std::int64_t i = 0; i < size; i += lanes()) {
      hn::StoreU(hn::Add(hn::LoadU(D(), sums + i), hn::LoadU(D(), block + i)), D(), sums + i);
      hn::StoreU(zero, D(), block + i);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();

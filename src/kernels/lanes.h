// Vectors of f32 read and written whole or in part, and sweeps made of them. For the vector part of a
// *_simd.cpp file, inside its RESNET_VECTOR_TARGET; like that part it is read once a target and has no
// guard.
#include <cstddef>
#include <cstdint>

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

/// All lanes.
struct Whole {
  HWY_INLINE V load(const float* p) const { return hn::LoadU(D(), p); }
  HWY_INLINE void store(V v, float* p) const { hn::StoreU(v, D(), p); }
};

/// The first `count` lanes; the others read as zero and are not written.
struct Part {
  std::int64_t count;
  hn::Mask<D> mask;
  HWY_INLINE explicit Part(std::int64_t n) : count(n), mask(hn::FirstN(D(), static_cast<std::size_t>(n))) {}
  HWY_INLINE V load(const float* p) const { return hn::MaskedLoad(mask, D(), p); }
  HWY_INLINE void store(V v, float* p) const { hn::BlendedStore(v, mask, D(), p); }
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

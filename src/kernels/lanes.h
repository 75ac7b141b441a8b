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

/// Calls op.run<K>(access, i, j) for every vector of `count` elements: K vectors, one period (whole
/// vectors) apart, the first at element i, all at place j of the period. Four at a time share what is
/// read from tables.
template <class Op>
HWY_INLINE void sweep(const Op& op, std::int64_t count, std::int64_t period) {
  std::int64_t i = 0;
  for (; i + 4 * period <= count; i += 4 * period) {
    for (std::int64_t j = 0; j < period; j += lanes()) op.template run<4>(Whole(), i + j, j);
  }
  for (; i + period <= count; i += period) {
    for (std::int64_t j = 0; j < period; j += lanes()) op.template run<1>(Whole(), i + j, j);
  }
  const std::int64_t rest = count - i;
  std::int64_t j = 0;
  for (; j + lanes() <= rest; j += lanes()) op.template run<1>(Whole(), i + j, j);
  if (j < rest) op.template run<1>(Part(rest - j), i + j, j);
}

/// As sweep(), where there are no tables: K vectors side by side, the first at element i.
template <class Op>
HWY_INLINE void sweep_flat(const Op& op, std::int64_t count) {
  sweep(op, count, lanes());
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();

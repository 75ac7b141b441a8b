// Vectors of places in a window, from and to memory of u8 or i32. As kernels/simd/lanes.h, behind which it is
// included: for the vector part of a *_simd.cpp file, read once a target, without a guard.
#include <algorithm>
#include <array>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {
using DI = hn::RebindToSigned<D>;
using VI = hn::Vec<DI>;
using DByte = hn::Rebind<std::uint8_t, DI>;

// Of a whole vector or of the first lanes; there are no masked moves of bytes.
HWY_INLINE void store_index(const Whole&, VI v, std::uint8_t* p) {
  hn::StoreU(hn::DemoteTo(DByte(), v), DByte(), p);
}
HWY_INLINE void store_index(const Whole&, VI v, std::int32_t* p) {
  hn::StoreU(v, DI(), p);
}
HWY_INLINE VI load_index(const Whole&, const std::uint8_t* p) {
  return hn::PromoteTo(DI(), hn::LoadU(DByte(), p));
}
HWY_INLINE VI load_index(const Whole&, const std::int32_t* p) {
  return hn::LoadU(DI(), p);
}
template <class T>
HWY_INLINE void store_index(const Part& part, VI v, T* p) {
  std::array<T, hn::MaxLanes(DI())> all;
  store_index(Whole(), v, all.data());
  std::copy_n(all.data(), part.count, p);
}
template <class T>
HWY_INLINE VI load_index(const Part& part, const T* p) {
  std::array<T, hn::MaxLanes(DI())> all{};
  std::copy_n(p, part.count, all.data());
  return load_index(Whole(), all.data());
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();

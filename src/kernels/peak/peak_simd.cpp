#include "kernels/peak/peak_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak/peak_simd.cpp"
#include "kernels/simd.h"

#if RESNET_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

float multiply_adds(std::int64_t rounds) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999F);
  const auto summand = hn::Set(d, 0.001F);
  // Each chain begins elsewhere: equal chains would be computed once.
  auto a0 = hn::Set(d, 0.0F);
  auto a1 = hn::Set(d, 1.0F);
  auto a2 = hn::Set(d, 2.0F);
  auto a3 = hn::Set(d, 3.0F);
  auto a4 = hn::Set(d, 4.0F);
  auto a5 = hn::Set(d, 5.0F);
  auto a6 = hn::Set(d, 6.0F);
  auto a7 = hn::Set(d, 7.0F);
  auto a8 = hn::Set(d, 8.0F);
  auto a9 = hn::Set(d, 9.0F);
  auto a10 = hn::Set(d, 10.0F);
  auto a11 = hn::Set(d, 11.0F);
  for (std::int64_t i = 0; i < rounds; ++i) {
    a0 = hn::MulAdd(a0, factor, summand);
    a1 = hn::MulAdd(a1, factor, summand);
    a2 = hn::MulAdd(a2, factor, summand);
    a3 = hn::MulAdd(a3, factor, summand);
    a4 = hn::MulAdd(a4, factor, summand);
    a5 = hn::MulAdd(a5, factor, summand);
    a6 = hn::MulAdd(a6, factor, summand);
    a7 = hn::MulAdd(a7, factor, summand);
    a8 = hn::MulAdd(a8, factor, summand);
    a9 = hn::MulAdd(a9, factor, summand);
    a10 = hn::MulAdd(a10, factor, summand);
    a11 = hn::MulAdd(a11, factor, summand);
  }
  const auto low = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const auto high = hn::Add(hn::Add(hn::Add(a6, a7), hn::Add(a8, a9)), hn::Add(a10, a11));
  return hn::GetLane(hn::Add(low, high));
}

}  // namespace
const PeakFunctions kPeakFunctions = {&multiply_adds, static_cast<std::int64_t>(HWY_LANES(float))};
}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
const PeakFunctions& peak_functions(Isa isa) {
  return RESNET_FOR_ISA(isa, kPeakFunctions);
}
}  // namespace resnet::kernels
#endif

#include "kernels/peak/peak_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak/peak_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/simd/lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

struct Floats {
  static HWY_INLINE V step(V sum, V a, V b) { return hn::MulAdd(sum, a, b); }
};
#if RESNET_BF16_TARGET
struct Pairs {
  static HWY_INLINE V step(V sum, V a, V b) { return add_pair_products(sum, a, b); }
};
#endif

template <class P>
float multiply_adds(std::int64_t rounds) {
  const D d;
  const V factor = hn::Set(d, 0.999F), summand = hn::Set(d, 0.001F);
  V a[kPeakChains];
  // Each chain begins elsewhere: equal chains would be computed once.
#pragma GCC unroll 12
  for (int i = 0; i < kPeakChains; ++i) a[i] = hn::Set(d, static_cast<float>(i));
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kPeakChains; ++i) a[i] = P::step(a[i], factor, summand);
  }
  V sum = a[0];
  for (int i = 1; i < kPeakChains; ++i) sum = hn::Add(sum, a[i]);
  return hn::GetLane(sum);
}

}  // namespace
const PeakFunctions kPeakFunctions = {&multiply_adds<Floats>, static_cast<std::int64_t>(HWY_LANES(float))};
#if RESNET_BF16_TARGET
const PeakFunctions kPeakFunctionsBf16 = {&multiply_adds<Pairs>,
                                          2 * static_cast<std::int64_t>(HWY_LANES(float))};
#endif
}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
const PeakFunctions& peak_functions(Isa isa) {
  return RESNET_FOR_ISA(isa, kPeakFunctions);
}
const PeakFunctions& peak_functions_bf16() {
  return RESNET_FOR_BF16(kPeakFunctionsBf16);
}
}  // namespace resnet::kernels
#endif

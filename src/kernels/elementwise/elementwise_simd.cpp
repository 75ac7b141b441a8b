#include "kernels/elementwise/elementwise_simd.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/elementwise_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/simd/lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

struct Relu {  // NaN stays NaN
  HWY_INLINE V operator()(V x, V) const { return hn::IfThenZeroElse(hn::Le(x, hn::Zero(D())), x); }
};
struct ReluGradient {  // a NaN is not at most zero
  HWY_INLINE V operator()(V dy, V y) const { return hn::IfThenZeroElse(hn::Le(y, hn::Zero(D())), dy); }
};
struct Add {
  HWY_INLINE V operator()(V a, V b) const { return hn::Add(a, b); }
};

template <class T>
void relu(const T* x, T* y, Index count) {
  sweep_flat(Map<T, Relu>{x, x, y}, count);
}
template <class T>
void relu_gradient(const T* dy, const T* y, T* dx, Index count) {
  sweep_flat(Map<T, ReluGradient>{dy, y, dx}, count);
}
template <class T>
void add(const T* a, const T* b, T* y, Index count) {
  sweep_flat(Map<T, Add>{a, b, y}, count);
}

template <class T>
struct ChannelSum {
  const T* x;
  Index period;
  float* block;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index i, Index j) const {
    V sum = at.load(block + j);
    for (int k = 0; k < K; ++k) sum = hn::Add(sum, at.load(x + i + k * period));
    at.store(sum, block + j);
  }
};

template <class T>
void channel_sum(const T* x, Index count, Index period, float* block, float* sums) {
  sweep_sums(ChannelSum<T>{x, period, block}, count, period, 1, block, sums);
}

template <class T>
constexpr ElementwiseFunctions<T> functions() {
  return {&relu<T>, &relu_gradient<T>, &add<T>, &channel_sum<T>};
}

}  // namespace

const ElementwiseFunctions<float> kElementwiseFunctions = functions<float>();
#if RESNET_BF16_TARGET
const ElementwiseFunctions<BFloat16> kElementwiseFunctionsBf16 = functions<BFloat16>();
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
template <>
const ElementwiseFunctions<float>& elementwise_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kElementwiseFunctions);
}
template <>
const ElementwiseFunctions<BFloat16>& elementwise_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kElementwiseFunctionsBf16);
}
}  // namespace resnet::kernels
#endif

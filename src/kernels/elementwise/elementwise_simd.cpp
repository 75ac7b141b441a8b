#include "kernels/elementwise/elementwise_simd.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/elementwise_simd.cpp"
#include "kernels/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

/// y = f(a, b), element by element; `y` may be `a` or `b`.
template <class F>
struct Map {
  F f;
  const float *a, *b;
  float* y;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index first, Index) const {
    for (int k = 0; k < K; ++k) {
      const Index i = first + k * lanes();
      at.store(f(at.load(a + i), at.load(b + i)), y + i);
    }
  }
};

struct Relu {  // NaN stays NaN
  HWY_INLINE V operator()(V x, V) const { return hn::IfThenZeroElse(hn::Le(x, hn::Zero(D())), x); }
};
struct ReluGradient {
  HWY_INLINE V operator()(V dy, V y) const { return hn::IfThenElseZero(hn::Gt(y, hn::Zero(D())), dy); }
};
struct Add {
  HWY_INLINE V operator()(V a, V b) const { return hn::Add(a, b); }
};
struct Sgd {  // product and difference rounded one after the other, as a reader computes it
  V lr;
  HWY_INLINE V operator()(V param, V grad) const { return hn::Sub(param, hn::Mul(lr, grad)); }
};

void relu(const float* x, float* y, Index count) {
  sweep_flat(Map<Relu>{{}, x, x, y}, count);
}
void relu_gradient(const float* dy, const float* y, float* dx, Index count) {
  sweep_flat(Map<ReluGradient>{{}, dy, y, dx}, count);
}
void add(const float* a, const float* b, float* y, Index count) {
  sweep_flat(Map<Add>{{}, a, b, y}, count);
}
void sgd(const float* param, const float* grad, float lr, float* updated, Index count) {
  sweep_flat(Map<Sgd>{{hn::Set(D(), lr)}, param, grad, updated}, count);
}

struct ChannelSum {
  const float* x;
  Index period;
  float* block;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index i, Index j) const {
    V sum = at.load(block + j);
    for (int k = 0; k < K; ++k) sum = hn::Add(sum, at.load(x + i + k * period));
    at.store(sum, block + j);
  }
};

void channel_sum(const float* x, Index count, Index period, float* block, float* sums) {
  sweep_sums(ChannelSum{x, period, block}, count, period, 1, block, sums);
}

}  // namespace

const ElementwiseFunctions kElementwiseFunctions = {&relu, &relu_gradient, &add, &sgd, &channel_sum};

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
const ElementwiseFunctions& elementwise_functions(Isa isa) {
  return RESNET_FOR_ISA(isa, kElementwiseFunctions);
}
}  // namespace resnet::kernels
#endif

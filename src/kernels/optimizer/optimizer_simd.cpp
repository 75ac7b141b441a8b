#include "kernels/optimizer/optimizer_simd.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optimizer/optimizer_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/simd/lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

/// Product and difference are rounded one after the other, as a reader computes them. `updated` may be
/// `param`.
struct Sgd {
  const float *param, *grad;
  V lr;
  float* updated;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index first, Index) const {
    for (int k = 0; k < K; ++k) {
      const Index i = first + k * lanes();
      at.store(hn::Sub(at.load(param + i), hn::Mul(lr, at.load(grad + i))), updated + i);
    }
  }
};

void sgd(const float* param, const float* grad, float lr, float* updated, Index count) {
  sweep_flat(Sgd{param, grad, hn::Set(D(), lr), updated}, count);
}

}  // namespace

const SgdFunction kSgd = &sgd;

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
SgdFunction sgd_function(Isa isa) {
  return RESNET_FOR_ISA(isa, kSgd);
}
}  // namespace resnet::kernels
#endif

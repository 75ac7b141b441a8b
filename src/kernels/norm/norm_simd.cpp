#include "kernels/norm/norm_simd.h"

#include <algorithm>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/norm_simd.cpp"
#include "kernels/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {
using Index = std::int64_t;

struct Sums {
  NormSums a;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index i, Index j) const {
    const V shift = at.load(a.shift + j);
    V sum = at.load(a.sum + j);
    V squares = at.load(a.squares + j);
    for (int k = 0; k < K; ++k) {
      const V x = hn::Sub(at.load(a.x + i + k * a.period), shift);
      sum = hn::Add(sum, x);
      squares = hn::MulAdd(x, x, squares);
    }
    at.store(sum, a.sum + j);
    at.store(squares, a.squares + j);
  }
};

void sums(const NormSums& a) {
  std::fill_n(a.sum, a.period, 0.0F);
  std::fill_n(a.squares, a.period, 0.0F);
  sweep(Sums{a}, a.count, a.period);
}

template <bool kAdd, bool kRelu>
struct Apply {
  NormApply a;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index i, Index j) const {
    const V mean = at.load(a.mean + j);
    const V scale = at.load(a.scale + j);
    const V offset = at.load(a.offset + j);
    for (int k = 0; k < K; ++k) {
      const Index place = i + k * a.period;
      V y = hn::MulAdd(hn::Sub(at.load(a.x + place), mean), scale, offset);
      if constexpr (kAdd) y = hn::Add(y, at.load(a.residual + place));
      if constexpr (kRelu) y = hn::IfThenZeroElse(hn::Le(y, hn::Zero(D())), y);  // keeps NaN
      at.store(y, a.z + place);
    }
  }
};

void apply(const NormApply& a) {
  if (a.residual != nullptr) {
    if (a.relu) return sweep(Apply<true, true>{a}, a.count, a.period);
    return sweep(Apply<true, false>{a}, a.count, a.period);
  }
  if (a.relu) return sweep(Apply<false, true>{a}, a.count, a.period);
  return sweep(Apply<false, false>{a}, a.count, a.period);
}

template <bool kRelu, class Args, class Access>
HWY_INLINE V masked_dz(const Args& a, const Access& at, Index place) {
  const V dz = at.load(a.dz + place);
  if constexpr (kRelu) return hn::IfThenElseZero(hn::Gt(at.load(a.z + place), hn::Zero(D())), dz);
  return dz;
}

template <bool kRelu>
struct GradientSums {
  NormGradientSums a;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index i, Index j) const {
    const V mean = at.load(a.mean + j);
    V sum_dz = at.load(a.sum_dz + j);
    V sum_dz_x = at.load(a.sum_dz_x + j);
    V sum_x = at.load(a.sum_x + j);
    for (int k = 0; k < K; ++k) {
      const Index place = i + k * a.period;
      const V dz = masked_dz<kRelu>(a, at, place);
      const V x = hn::Sub(at.load(a.x + place), mean);
      sum_dz = hn::Add(sum_dz, dz);
      sum_dz_x = hn::MulAdd(dz, x, sum_dz_x);
      sum_x = hn::Add(sum_x, x);
    }
    at.store(sum_dz, a.sum_dz + j);
    at.store(sum_dz_x, a.sum_dz_x + j);
    at.store(sum_x, a.sum_x + j);
  }
};

void gradient_sums(const NormGradientSums& a) {
  std::fill_n(a.sum_dz, a.period, 0.0F);
  std::fill_n(a.sum_dz_x, a.period, 0.0F);
  std::fill_n(a.sum_x, a.period, 0.0F);
  if (a.z != nullptr) return sweep(GradientSums<true>{a}, a.count, a.period);
  return sweep(GradientSums<false>{a}, a.count, a.period);
}

template <bool kRelu, bool kResidual>
struct GradientApply {
  NormGradientApply a;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index i, Index j) const {
    const V mean = at.load(a.mean + j);
    const V scale_dz = at.load(a.scale_dz + j);
    const V scale_x = at.load(a.scale_x + j);
    const V offset = at.load(a.offset + j);
    for (int k = 0; k < K; ++k) {
      const Index place = i + k * a.period;
      const V dz = masked_dz<kRelu>(a, at, place);
      const V x = hn::Sub(at.load(a.x + place), mean);
      const V dx = hn::MulAdd(dz, scale_dz, hn::MulAdd(x, scale_x, offset));
      at.store(dx, a.dx + place);
      if constexpr (kResidual) at.store(dz, a.dresidual + place);
    }
  }
};

void gradient_apply(const NormGradientApply& a) {
  if (a.dresidual != nullptr) {
    if (a.z != nullptr) return sweep(GradientApply<true, true>{a}, a.count, a.period);
    return sweep(GradientApply<false, true>{a}, a.count, a.period);
  }
  if (a.z != nullptr) return sweep(GradientApply<true, false>{a}, a.count, a.period);
  return sweep(GradientApply<false, false>{a}, a.count, a.period);
}

}  // namespace

const NormFunctions kNormFunctions = {&sums, &apply, &gradient_sums, &gradient_apply};

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
const NormFunctions& norm_functions(Isa isa) {
  return RESNET_FOR_ISA(isa, kNormFunctions);
}
}  // namespace resnet::kernels
#endif

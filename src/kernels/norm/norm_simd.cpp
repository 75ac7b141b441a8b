#include "kernels/norm/norm_simd.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/norm_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/simd/lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {
using Index = std::int64_t;

template <class T>
struct Sums {
  NormSums<T> a;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index i, Index j) const {
    const V shift = at.load(a.shift + j);
    V sum = at.load(a.block + j);
    V squares = at.load(a.block + a.period + j);
    for (int k = 0; k < K; ++k) {
      const V x = hn::Sub(at.load(a.x + i + k * a.period), shift);
      sum = hn::Add(sum, x);
      squares = hn::MulAdd(x, x, squares);
    }
    at.store(sum, a.block + j);
    at.store(squares, a.block + a.period + j);
  }
};

template <class T>
void sums(const NormSums<T>& a) {
  sweep_sums(Sums<T>{a}, a.count, a.period, 2, a.block, a.sums);
}

// Bits of a vector, which begins at a whole byte of them.
HWY_INLINE void store_mask(const Whole&, hn::Mask<D> open, std::uint8_t* p) {
  hn::StoreMaskBits(D(), open, p);
}
HWY_INLINE void store_mask(const Part& part, hn::Mask<D> open, std::uint8_t* p) {
  std::array<std::uint8_t, 8> all{};
  hn::StoreMaskBits(D(), hn::And(open, part.mask), all.data());
  std::copy_n(all.data(), (part.count + 7) / 8, p);
}

// kStream: z is memory of its own and goes past the caches in whole lines, which saves reading them first.
template <bool kAdd, bool kRelu, bool kMask, bool kStream, class T>
struct Apply {
  NormApply<T> a;
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
      if constexpr (kMask) store_mask(at, hn::Not(hn::Le(y, hn::Zero(D()))), a.relu_mask + place / 8);
      if constexpr (kStream && std::is_same_v<Access, Whole>) {
        hn::Stream(y, D(), a.z + place);
      } else {
        at.store(y, a.z + place);
      }
    }
  }
};

template <bool kAdd, bool kRelu, bool kMask, class T>
void apply_to(const NormApply<T>& a) {
  if constexpr (kStreams<T>) {
    if (a.z != a.x && a.z != a.residual) {
      sweep(Apply<kAdd, kRelu, kMask, true, T>{a}, 0, a.count, a.period);
      return hwy::FlushStream();
    }
  }
  sweep(Apply<kAdd, kRelu, kMask, false, T>{a}, 0, a.count, a.period);
}

template <bool kAdd, class T>
void apply_added(const NormApply<T>& a) {
  if (a.relu_mask != nullptr) return apply_to<kAdd, true, true>(a);
  a.relu ? apply_to<kAdd, true, false>(a) : apply_to<kAdd, false, false>(a);
}

template <class T>
void apply(const NormApply<T>& a) {
  a.residual != nullptr ? apply_added<true>(a) : apply_added<false>(a);
}

// What decides whether dz counts.
enum class Gate : std::uint8_t { open, value, mask, coefficients };

template <Gate gate, class Args>
struct Masked {
  const Args& a;
  V scale, offset;
  template <class Access>
  HWY_INLINE Masked(const Args& args, const Access& at, Index j)
      : a(args), scale(hn::Zero(D())), offset(hn::Zero(D())) {
    if constexpr (gate == Gate::coefficients) {
      scale = at.load(a.gate_scale + j);
      offset = at.load(a.gate_offset + j);
    }
  }
  // `x`: x - mean of that place.
  template <class Access>
  HWY_INLINE V dz(const Access& at, Index place, V x) const {
    const V dz = at.load(a.dz + place);
    // A vector of bits is read whole: there is room behind the last.
    if constexpr (gate == Gate::mask)
      return hn::IfThenElseZero(hn::LoadMaskBits(D(), a.relu_mask + place / 8), dz);
    if constexpr (gate == Gate::value)
      return hn::IfThenZeroElse(hn::Le(at.load(a.z + place), hn::Zero(D())), dz);
    if constexpr (gate == Gate::coefficients)
      return hn::IfThenZeroElse(hn::Le(hn::MulAdd(x, scale, offset), hn::Zero(D())), dz);
    return dz;
  }
};

template <Gate gate, class T>
struct GradientSums {
  NormGradientSums<T> a;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index i, Index j) const {
    const V mean = at.load(a.mean + j);
    V sum_dz = at.load(a.block + j);
    V sum_dz_x = at.load(a.block + a.period + j);
    V sum_x = at.load(a.block + 2 * a.period + j);
    const Masked<gate, NormGradientSums<T>> masked(a, at, j);
    for (int k = 0; k < K; ++k) {
      const Index place = i + k * a.period;
      const V x = hn::Sub(at.load(a.x + place), mean);
      const V dz = masked.dz(at, place, x);
      sum_dz = hn::Add(sum_dz, dz);
      sum_dz_x = hn::MulAdd(dz, x, sum_dz_x);
      sum_x = hn::Add(sum_x, x);
    }
    at.store(sum_dz, a.block + j);
    at.store(sum_dz_x, a.block + a.period + j);
    at.store(sum_x, a.block + 2 * a.period + j);
  }
};

template <Gate gate, class T>
void gradient_sums_gated(const NormGradientSums<T>& a) {
  sweep_sums(GradientSums<gate, T>{a}, a.count, a.period, 3, a.block, a.sums);
}

template <class T>
void gradient_sums(const NormGradientSums<T>& a) {
  if (a.gate_scale != nullptr) return gradient_sums_gated<Gate::coefficients>(a);
  if (a.relu_mask != nullptr) return gradient_sums_gated<Gate::mask>(a);
  a.z != nullptr ? gradient_sums_gated<Gate::value>(a) : gradient_sums_gated<Gate::open>(a);
}

template <Gate gate, bool kResidual, class T>
struct GradientApply {
  NormGradientApply<T> a;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index i, Index j) const {
    const V mean = at.load(a.mean + j);
    const V scale_dz = at.load(a.scale_dz + j);
    const V scale_x = at.load(a.scale_x + j);
    const V offset = at.load(a.offset + j);
    const Masked<gate, NormGradientApply<T>> masked(a, at, j);
    for (int k = 0; k < K; ++k) {
      const Index place = i + k * a.period;
      const V x = hn::Sub(at.load(a.x + place), mean);
      const V dz = masked.dz(at, place, x);
      const V dx = hn::MulAdd(dz, scale_dz, hn::MulAdd(x, scale_x, offset));
      at.store(dx, a.dx + place);
      if constexpr (kResidual) at.store(dz, a.dresidual + place);
    }
  }
};

template <Gate gate, class T>
void gradient_apply_gated(const NormGradientApply<T>& a) {
  if (a.dresidual != nullptr) return sweep(GradientApply<gate, true, T>{a}, 0, a.count, a.period);
  sweep(GradientApply<gate, false, T>{a}, 0, a.count, a.period);
}

template <class T>
void gradient_apply(const NormGradientApply<T>& a) {
  if (a.gate_scale != nullptr) return gradient_apply_gated<Gate::coefficients>(a);
  if (a.relu_mask != nullptr) return gradient_apply_gated<Gate::mask>(a);
  a.z != nullptr ? gradient_apply_gated<Gate::value>(a) : gradient_apply_gated<Gate::open>(a);
}

template <class T>
constexpr NormFunctions<T> functions() {
  return {&sums<T>, &apply<T>, &gradient_sums<T>, &gradient_apply<T>};
}

}  // namespace

const NormFunctions<float> kNormFunctions = functions<float>();
#if RESNET_BF16_TARGET
const NormFunctions<BFloat16> kNormFunctionsBf16 = functions<BFloat16>();
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
template <>
const NormFunctions<float>& norm_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kNormFunctions);
}
template <>
const NormFunctions<BFloat16>& norm_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kNormFunctionsBf16);
}
}  // namespace resnet::kernels
#endif

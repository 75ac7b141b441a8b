#include "kernels/elementwise/activations_simd.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/activations_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include <hwy/contrib/math/math-inl.h>

#include "kernels/simd/lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

HWY_INLINE V set(float value) {
  return hn::Set(D(), value);
}

/// y, but NaN where x is: the exponential of a NaN is a number.
HWY_INLINE V nan_of(V x, V y) {
  return hn::IfThenElse(hn::Eq(x, x), y, x);
}

/// 1 / (1 + exp(-x)), from exp(-|x|), which does not overflow; the relative error is a few 2^-24 on both
/// sides.
struct Sigmoid {
  HWY_INLINE V operator()(V x, V = V()) const {
    const V e = hn::Exp(D(), hn::Neg(hn::Abs(x)));
    const V above = hn::IfThenElse(hn::Lt(x, hn::Zero(D())), e, set(1));
    return nan_of(x, hn::Div(above, hn::Add(set(1), e)));
  }
};
/// s (1 - s) = e / (1 + e)^2 with e = exp(-|x|).
struct SigmoidGradient {
  HWY_INLINE V operator()(V dy, V x) const {
    const V e = hn::Exp(D(), hn::Neg(hn::Abs(x)));
    const V sum = hn::Add(set(1), e);
    return nan_of(x, hn::Mul(dy, hn::Div(e, hn::Mul(sum, sum))));
  }
};

struct Silu {
  HWY_INLINE V operator()(V x, V = V()) const { return hn::Mul(x, Sigmoid()(x)); }
};
/// s (1 + x (1 - s)), where 1 - s is the sigmoid of -x.
struct SiluGradient {
  HWY_INLINE V operator()(V dy, V x) const {
    const V slope = hn::MulAdd(x, Sigmoid()(hn::Neg(x)), set(1));
    return hn::Mul(dy, hn::Mul(Sigmoid()(x), slope));
  }
};

/// The normal distribution's function, 0.5 erfc(-x / sqrt(2)).
/// For z >= 0, erfc(z) = t exp(-z^2 + p(t)) with t = 1 / (1 + z/2). The form is that of Press et al.,
/// Numerical Recipes, section 6.2; p is a Chebyshev fit of degree 9 over 0 <= z <= 10, with a relative error
/// of 4.8e-8.
HWY_INLINE V normal_cdf(V x) {
  constexpr float kP[] = {0.144930213F,   -0.680827177F, 1.15673375F,  -0.696251895F, -0.0802804354F,
                          0.00126758808F, 0.0346027994F, 0.386640412F, 0.998632783F,  -1.265448F};
  const V z = hn::Mul(hn::Abs(x), set(0.70710678F));
  const V t = hn::Div(set(1), hn::MulAdd(z, set(0.5F), set(1)));
  V p = set(kP[0]);
  for (int i = 1; i < 10; ++i) p = hn::MulAdd(p, t, set(kP[i]));
  const V half_erfc = hn::Mul(hn::Mul(set(0.5F), t), hn::Exp(D(), hn::NegMulAdd(z, z, p)));
  return nan_of(x, hn::IfThenElse(hn::Lt(x, hn::Zero(D())), half_erfc, hn::Sub(set(1), half_erfc)));
}
struct Gelu {
  HWY_INLINE V operator()(V x, V = V()) const { return hn::Mul(x, normal_cdf(x)); }
};
/// cdf(x) + x exp(-x^2 / 2) / sqrt(2 pi).
struct GeluGradient {
  HWY_INLINE V operator()(V dy, V x) const {
    const V density = hn::Mul(set(0.39894228F), hn::Exp(D(), hn::Mul(hn::Mul(x, x), set(-0.5F))));
    return hn::Mul(dy, hn::MulAdd(x, density, normal_cdf(x)));
  }
};
struct Multiply {
  HWY_INLINE V operator()(V a, V b) const { return hn::Mul(a, b); }
};

template <class T, class F>
void map(const T* x, T* y, Index count) {
  sweep_flat(Map<T, F>{x, x, y}, count);
}
template <class T, class F>
void map_two(const T* a, const T* b, T* y, Index count) {
  sweep_flat(Map<T, F>{a, b, y}, count);
}

template <class T>
void multiply_rows(const T* x, const T* gate, T* y, Index rows, Index channels) {
  for (Index row = 0; row < rows; ++row)
    sweep_flat(Map<T, Multiply>{x + row * channels, gate, y + row * channels}, channels);
}

/// Sums of K vectors of channels. After 32 rows a block's sums are added to the totals, so that a map of 1024
/// pixels takes 64 additions in a row instead of 1024.
template <class T>
struct GateGradient {
  const T *dy, *x;
  T* gate;
  Index rows, channels;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index first, Index) const {
    for (int k = 0; k < K; ++k) {
      const Index i = first + k * lanes();
      V total = hn::Zero(D());
      for (Index begin = 0; begin < rows; begin += 32) {
        V sum = hn::Zero(D());
        const Index end = begin + 32 < rows ? begin + 32 : rows;
        for (Index row = begin; row < end; ++row)
          sum = hn::MulAdd(at.load(dy + row * channels + i), at.load(x + row * channels + i), sum);
        total = hn::Add(total, sum);
      }
      at.store(total, gate + i);
    }
  }
};
template <class T>
void gate_gradient(const T* dy, const T* x, T* gate, Index rows, Index channels, Index count) {
  sweep_flat(GateGradient<T>{dy, x, gate, rows, channels}, count);
}

template <class T>
constexpr ActivationFunctions<T> functions() {
  return {{&map<T, Sigmoid>, &map<T, Silu>, &map<T, Gelu>},
          {&map_two<T, SigmoidGradient>, &map_two<T, SiluGradient>, &map_two<T, GeluGradient>},
          &map_two<T, Multiply>,
          &multiply_rows<T>,
          &gate_gradient<T>};
}

}  // namespace

const ActivationFunctions<float> kActivationFunctions = functions<float>();
#if RESNET_BF16_TARGET
const ActivationFunctions<BFloat16> kActivationFunctionsBf16 = functions<BFloat16>();
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
template <>
const ActivationFunctions<float>& activation_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kActivationFunctions);
}
template <>
const ActivationFunctions<BFloat16>& activation_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kActivationFunctionsBf16);
}
}  // namespace resnet::kernels
#endif

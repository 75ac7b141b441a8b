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

HWY_INLINE V all(float value) {
  return hn::Set(D(), value);
}

// Zero as long as all that was added is finite, NaN from then on: a multiplication by zero tells.
struct Finite {
  V zeros;
  HWY_INLINE void add(V v) { zeros = hn::MulAdd(v, hn::Zero(D()), zeros); }
  HWY_INLINE bool all() const { return hn::AllTrue(D(), hn::Eq(zeros, zeros)); }
};

struct Sgd {
  const SgdStep& s;
  Finite& finite;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index first, Index) const {
    for (int k = 0; k < K; ++k) {
      const Index i = first + k * lanes();
      const V updated = hn::Sub(at.load(s.param + i), hn::Mul(all(s.lr), at.load(s.grad + i)));
      finite.add(updated);
      at.store(updated, s.updated + i);
    }
  }
};

template <bool kMomentum>
struct SgdMomentum {
  const SgdMomentumStep& s;
  Finite& finite;  // what is in the buffer is in the parameter too
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index first, Index) const {
    for (int k = 0; k < K; ++k) {
      const Index i = first + k * lanes();
      const V param = at.load(s.param + i);
      const V g = hn::Add(hn::Mul(all(s.grad_factor), at.load(s.grad + i)), hn::Mul(all(s.decay), param));
      V direction = g;
      if constexpr (kMomentum) {
        const V b = hn::Add(hn::Mul(all(s.keep), at.load(s.buffer + i)), hn::Mul(all(s.gain), g));
        direction = hn::Add(hn::Mul(all(s.of_g), g), hn::Mul(all(s.of_b), b));
        at.store(b, s.updated_buffer + i);
      }
      const V updated = hn::Sub(param, hn::Mul(all(s.lr), direction));
      finite.add(updated);
      at.store(updated, s.updated + i);
    }
  }
};

struct AdamW {
  const AdamWStep& s;
  Finite& finite;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index first, Index) const {
    for (int k = 0; k < K; ++k) {
      const Index i = first + k * lanes();
      const V g = hn::Mul(all(s.grad_factor), at.load(s.grad + i));
      const V exp_avg = at.load(s.exp_avg + i), exp_avg_sq = at.load(s.exp_avg_sq + i);
      const V m = hn::Add(exp_avg, hn::Mul(all(s.gain1), hn::Sub(g, exp_avg)));
      const V v = hn::Add(exp_avg_sq, hn::Mul(all(s.gain2), hn::Sub(hn::Mul(g, g), exp_avg_sq)));
      const V root = hn::Add(hn::Mul(hn::Sqrt(v), all(s.root_factor)), all(s.eps));
      const V kept = hn::Mul(all(s.shrink), at.load(s.param + i));
      at.store(m, s.updated_exp_avg + i);
      at.store(v, s.updated_exp_avg_sq + i);
      const V updated = hn::Sub(kept, hn::Mul(all(s.lr), hn::Div(m, root)));
      finite.add(updated);
      finite.add(v);  // an infinite one makes the step zero
      at.store(updated, s.updated + i);
    }
  }
};

struct Average {
  const AverageStep& s;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index first, Index) const {
    for (int k = 0; k < K; ++k) {
      const Index i = first + k * lanes();
      const V average = at.load(s.average + i);
      const V way = hn::Sub(at.load(s.value + i), average);
      at.store(hn::Add(average, hn::Mul(all(s.share), way)), s.updated + i);
    }
  }
};

bool sgd(const SgdStep& step, Index count) {
  Finite finite{hn::Zero(D())};
  sweep_flat(Sgd{step, finite}, count);
  return finite.all();
}
bool sgd_decay(const SgdMomentumStep& step, Index count) {
  Finite finite{hn::Zero(D())};
  sweep_flat(SgdMomentum<false>{step, finite}, count);
  return finite.all();
}
bool sgd_momentum(const SgdMomentumStep& step, Index count) {
  Finite finite{hn::Zero(D())};
  sweep_flat(SgdMomentum<true>{step, finite}, count);
  return finite.all();
}
bool adamw(const AdamWStep& step, Index count) {
  Finite finite{hn::Zero(D())};
  sweep_flat(AdamW{step, finite}, count);
  return finite.all();
}
void average(const AverageStep& step, Index count) {
  sweep_flat(Average{step}, count);
}

}  // namespace

const OptimizerFunctions kOptimizerFunctions = {&sgd, &sgd_decay, &sgd_momentum, &adamw, &average};

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
const OptimizerFunctions& optimizer_functions(Isa isa) {
  return RESNET_FOR_ISA(isa, kOptimizerFunctions);
}
}  // namespace resnet::kernels
#endif

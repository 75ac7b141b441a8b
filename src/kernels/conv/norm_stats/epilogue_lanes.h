// The SIMD epilogue for norm statistics. For the vector part of a *_simd.cpp file, behind
// kernels/simd/lanes.h; like that part it is read once a target and has no guard.
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/conv/norm_stats/norm_stats.h"

HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using resnet::kernels::HWY_NAMESPACE::D;
using resnet::kernels::HWY_NAMESPACE::V;

// What else happens to a result before it is written.
// A tile's statistics are accumulated after its transform, which needs all registers for itself, and in two
// sums each, since one would wait for itself.
struct NoStats {
  static constexpr bool kSums = false;
};
// The formula of the evaluation's norm, for the same bits. What is stored as bf16 is rounded to it before, as
// the norm would read it.
template <bool kAdd>
struct Normalize {
  static constexpr bool kGates = true, kSums = false;
  template <class T, class Access>
  struct At {
    const StatsArgs<T>& args;
    const Access& access;
    V mean, scale, offset, floor;
    HWY_INLINE At(const StatsArgs<T>& g, std::int64_t count, const Access& to, std::int64_t c)
        : args(g),
          access(to),
          mean(to.load(g.coefficients + c)),
          scale(to.load(g.coefficients + count + c)),
          offset(to.load(g.coefficients + 2 * count + c)),
          floor(hn::Set(D(), g.floor)) {}
    template <int kOf>
    HWY_INLINE V apply(V v, std::int64_t at) {
#if RESNET_BF16_TARGET
      if constexpr (!std::is_same_v<T, float>)
        v = resnet::kernels::HWY_NAMESPACE::from_bf16(resnet::kernels::HWY_NAMESPACE::to_bf16(v));
#endif
      V z = hn::MulAdd(hn::Sub(v, mean), scale, offset);
      if constexpr (kAdd) z = hn::Add(z, access.load(args.x + at));
      return hn::IfThenElse(hn::Le(z, floor), floor, z);  // keeps NaN
    }
    HWY_INLINE void store() const {}
  };
  template <class T>
  static HWY_INLINE void prefetch(const StatsArgs<T>& g, std::int64_t at) {
    if constexpr (kAdd) __builtin_prefetch(g.x + at);
  }
};
struct MomentsEpilogue {
  static constexpr bool kGates = false, kSums = true;
  template <class T, class Access>
  struct At {
    const Access& access;
    float* sums;
    std::int64_t channels;
    V shift, sum[2], squares[2];
    HWY_INLINE At(const StatsArgs<T>& g, std::int64_t count, const Access& to, std::int64_t c)
        : access(to), sums(g.sums + c), channels(count), shift(to.load(sums)) {
      sum[0] = to.load(sums + count);
      squares[0] = to.load(sums + 2 * count);
      sum[1] = squares[1] = hn::Zero(D());
    }
    template <int kOf>
    HWY_INLINE V apply(V v, std::int64_t) {
      const V x = hn::Sub(v, shift);
      sum[kOf] = hn::Add(sum[kOf], x);
      squares[kOf] = hn::MulAdd(x, x, squares[kOf]);
      return v;
    }
    HWY_INLINE void store() const {
      access.store(hn::Add(sum[0], sum[1]), sums + channels);
      access.store(hn::Add(squares[0], squares[1]), sums + 2 * channels);
    }
  };
  template <class T>
  static HWY_INLINE void prefetch(const StatsArgs<T>&, std::int64_t) {}
};
template <bool kMask>
struct GradientSumsEpilogue {
  static constexpr bool kGates = true, kSums = true;
  template <class T, class Access>
  struct At {
    const StatsArgs<T>& args;
    const Access& access;
    float* sums;
    std::int64_t channels;
    V mean, scale, offset, sum_dz[2], sum_dz_x[2], sum_x[2];
    HWY_INLINE At(const StatsArgs<T>& g, std::int64_t count, const Access& to, std::int64_t c)
        : args(g),
          access(to),
          sums(g.sums + c),
          channels(count),
          mean(to.load(g.coefficients + c)),
          scale(kMask ? hn::Zero(D()) : to.load(g.coefficients + count + c)),
          offset(kMask ? hn::Zero(D()) : to.load(g.coefficients + 2 * count + c)) {
      sum_dz[0] = to.load(sums);
      sum_dz_x[0] = to.load(sums + count);
      sum_x[0] = to.load(sums + 2 * count);
      sum_dz[1] = sum_dz_x[1] = sum_x[1] = hn::Zero(D());
    }
    // `at`: which element of the image it is.
    template <int kOf>
    HWY_INLINE V apply(V v, std::int64_t at) {
      const V x = hn::Sub(access.load(args.x + at), mean);
      if constexpr (kMask) {
        std::uint64_t bits;  // LoadMaskBits may read as many; there is room behind the last
        std::memcpy(&bits, args.relu_mask + at / 8, sizeof bits);
        bits >>= at % 8;
        v = hn::IfThenElseZero(hn::LoadMaskBits(D(), reinterpret_cast<const std::uint8_t*>(&bits)), v);
      } else {
        v = hn::IfThenZeroElse(hn::Le(hn::MulAdd(x, scale, offset), hn::Zero(D())), v);
      }
      sum_dz[kOf] = hn::Add(sum_dz[kOf], v);
      sum_dz_x[kOf] = hn::MulAdd(v, x, sum_dz_x[kOf]);
      sum_x[kOf] = hn::Add(sum_x[kOf], x);
      return v;
    }
    HWY_INLINE void store() const {
      access.store(hn::Add(sum_dz[0], sum_dz[1]), sums);
      access.store(hn::Add(sum_dz_x[0], sum_dz_x[1]), sums + channels);
      access.store(hn::Add(sum_x[0], sum_x[1]), sums + 2 * channels);
    }
  };
  template <class T>
  static HWY_INLINE void prefetch(const StatsArgs<T>& g, std::int64_t at) {
    __builtin_prefetch(g.x + at);
  }
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv
HWY_AFTER_NAMESPACE();

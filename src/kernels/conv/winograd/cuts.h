// The cuts of 3x3 convolutions in vectors: their transforms along one axis, and what runs them over tiles.
// For the vector part of the winograd*_simd.cpp files, inside their RESNET_VECTOR_TARGET; like that part it
// is read once a target and has no guard.
#include <cstdint>
#include <type_traits>

#include "kernels/conv/winograd/transforms_simd.h"
#include "kernels/simd/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using resnet::kernels::HWY_NAMESPACE::D;
using resnet::kernels::HWY_NAMESPACE::Part;
using resnet::kernels::HWY_NAMESPACE::V;
using resnet::kernels::HWY_NAMESPACE::Whole;
constexpr D d;
constexpr std::int64_t kLanes = static_cast<std::int64_t>(HWY_LANES(float));

HWY_INLINE V times(float a, V x) {
  return hn::Mul(hn::Set(d, a), x);
}
HWY_INLINE V plus(V c, float a, V x) {
  return hn::MulAdd(hn::Set(d, a), x, c);
}  // c + a x
HWY_INLINE V minus(V c, float a, V x) {
  return hn::NegMulAdd(hn::Set(d, a), x, c);
}  // c - a x

HWY_INLINE void both_signs(V even, float p, V odd, V* o) {
  o[0] = plus(even, p, odd);
  o[1] = minus(even, p, odd);
}

// Points 0, 1, -1/2, -2 and infinity.
struct F3 {
  using Weights = F3;
  static constexpr bool kForward = true, kGradient = true;  // passes whose result it gives
  static constexpr int kIn = 5, kPoints = 5, kMatrices = 5, kOut = 3;
  static constexpr int kInStep = 3;
  static HWY_INLINE void input(const V* x, V* o) {
    const V s = hn::Sub(x[2], x[1]);
    o[0] = plus(hn::Sub(x[3], x[0]), 1.5F, s);
    o[1] = plus(hn::Add(x[1], x[3]), 2.5F, x[2]);
    o[2] = minus(hn::Add(x[2], x[3]), 2, x[1]);
    o[3] = minus(x[3], 0.5F, hn::Add(x[1], x[2]));
    o[4] = plus(hn::Sub(x[4], x[1]), 1.5F, hn::Sub(x[3], x[2]));
  }
  static HWY_INLINE void output(const V* y, V* o) {
    const V s = hn::Add(y[1], y[2]);
    o[0] = hn::Add(hn::Add(y[0], s), y[3]);
    o[1] = minus(minus(y[1], 0.5F, y[2]), 2, y[3]);
    o[2] = hn::Add(plus(plus(y[1], 0.25F, y[2]), 4, y[3]), y[4]);
  }
  static HWY_INLINE void output_gradient(const V* y, V* o) {
    o[0] = y[0];
    o[1] = hn::Add(hn::Add(y[0], y[1]), y[2]);
    o[2] = plus(minus(y[0], 0.5F, y[1]), 0.25F, y[2]);
    o[3] = plus(minus(y[0], 2, y[1]), 4, y[2]);
    o[4] = y[2];
  }
  static constexpr float f1 = 1 / 4.5F, f2 = 1 / 1.125F, f3 = -1 / 9.0F;
  static HWY_INLINE void weights(const V* g, V* o) {
    o[0] = hn::Neg(g[0]);
    o[1] = times(f1, hn::Add(hn::Add(g[0], g[1]), g[2]));
    o[2] = times(f2, plus(minus(g[0], 0.5F, g[1]), 0.25F, g[2]));
    o[3] = times(f3, plus(minus(g[0], 2, g[1]), 4, g[2]));
    o[4] = g[2];
  }
  static HWY_INLINE void weight_result(const V* u, V* o) {
    const V u1 = times(f1, u[1]), u2 = times(f2, u[2]), u3 = times(f3, u[3]);
    o[0] = hn::Add(hn::Add(hn::Sub(u1, u[0]), u2), u3);
    o[1] = minus(minus(u1, 0.5F, u2), 2, u3);
    o[2] = hn::Add(plus(plus(u1, 0.25F, u2), 4, u3), u[4]);
  }
};

// Points 0, +-a, +-b and infinity with a = 2/3 and b = 3/2, so that a b = 1.
struct F4 {
  using Weights = F4;
  static constexpr bool kForward = true, kGradient = true;  // passes whose result it gives
  static constexpr int kIn = 6, kPoints = 6, kMatrices = 6, kOut = 4;
  static constexpr int kInStep = 4;
  static constexpr float a = 2.0F / 3, b = 1.5F, aa = 4.0F / 9, bb = 2.25F, aaa = 8.0F / 27, bbb = 3.375F;
  static constexpr float s = 97.0F / 36;  // a^2 + b^2
  static HWY_INLINE void input(const V* x, V* o) {
    o[0] = minus(hn::Add(x[0], x[4]), s, x[2]);
    V even = minus(x[4], bb, x[2]), odd = minus(x[3], bb, x[1]);
    both_signs(even, a, odd, o + 1);
    even = minus(x[4], aa, x[2]);
    odd = minus(x[3], aa, x[1]);
    both_signs(even, b, odd, o + 3);
    o[5] = minus(hn::Add(x[1], x[5]), s, x[3]);
  }
  static HWY_INLINE void output(const V* y, V* o) {
    const V p = hn::Add(y[1], y[2]), q = hn::Sub(y[1], y[2]);
    const V r = hn::Add(y[3], y[4]), t = hn::Sub(y[3], y[4]);
    o[0] = hn::Add(hn::Add(y[0], p), r);
    o[1] = plus(times(a, q), b, t);
    o[2] = plus(times(aa, p), bb, r);
    o[3] = plus(plus(y[5], aaa, q), bbb, t);
  }
  static HWY_INLINE void pairs(V y0, V y1, V y2, V y3, V* o) {
    both_signs(plus(y0, aa, y2), a, plus(y1, aa, y3), o);
    both_signs(plus(y0, bb, y2), b, plus(y1, bb, y3), o + 2);
  }
  static HWY_INLINE void output_gradient(const V* y, V* o) {
    o[0] = y[0];
    pairs(y[0], y[1], y[2], y[3], o + 1);
    o[5] = y[3];
  }
  static constexpr float fa = -81.0F / 130,
                         fb = 8.0F / 65;  // 1 / (2 a^2 (a^2 - b^2)), 1 / (2 b^2 (b^2 - a^2))
  static HWY_INLINE void weights(const V* g, V* o) {
    o[0] = g[0];
    V even = times(fa, plus(g[0], aa, g[2])), odd = times(fa * a, g[1]);
    o[1] = hn::Add(even, odd);
    o[2] = hn::Sub(even, odd);
    even = times(fb, plus(g[0], bb, g[2]));
    odd = times(fb * b, g[1]);
    o[3] = hn::Add(even, odd);
    o[4] = hn::Sub(even, odd);
    o[5] = g[2];
  }
  static HWY_INLINE void weight_result(const V* u, V* o) {
    const V p = times(fa, hn::Add(u[1], u[2])), q = times(fa * a, hn::Sub(u[1], u[2]));
    const V r = times(fb, hn::Add(u[3], u[4])), t = times(fb * b, hn::Sub(u[3], u[4]));
    o[0] = hn::Add(hn::Add(u[0], p), r);
    o[1] = hn::Add(q, t);
    o[2] = plus(plus(u[5], aa, p), bb, r);
  }
};

// Points 0, +-1, +-2, +-1/2 and infinity. For gradients alone: its errors are five times those of F4, and
// what they move of a result changes signs in front of a ReLU, of a gradient nothing.
struct F6 {
  using Weights = F6;
  static constexpr bool kForward = false, kGradient = true;  // passes whose result it gives
  static constexpr int kIn = 8, kPoints = 8, kMatrices = 8, kOut = 6;
  static constexpr int kInStep = 6;
  static HWY_INLINE void input(const V* x, V* o) {
    o[0] = plus(hn::Sub(x[0], x[6]), 5.25F, hn::Sub(x[4], x[2]));
    both_signs(minus(hn::Add(x[2], x[6]), 4.25F, x[4]), 1, minus(hn::Add(x[1], x[5]), 4.25F, x[3]), o + 1);
    both_signs(plus(minus(x[6], 1.25F, x[4]), 0.25F, x[2]), 2, plus(minus(x[5], 1.25F, x[3]), 0.25F, x[1]),
               o + 3);
    both_signs(plus(minus(x[6], 5, x[4]), 4, x[2]), 0.5F, plus(minus(x[5], 5, x[3]), 4, x[1]), o + 5);
    o[7] = plus(hn::Sub(x[7], x[1]), 5.25F, hn::Sub(x[3], x[5]));
  }
  static HWY_INLINE void output(const V* y, V* o) {
    const V p = hn::Add(y[1], y[2]), q = hn::Sub(y[1], y[2]);
    const V r = hn::Add(y[3], y[4]), t = hn::Sub(y[3], y[4]);
    const V u = hn::Add(y[5], y[6]), v = hn::Sub(y[5], y[6]);
    o[0] = hn::Add(hn::Add(y[0], p), hn::Add(r, u));
    o[1] = plus(plus(q, 2, t), 1.0F / 2, v);
    o[2] = plus(plus(p, 4, r), 1.0F / 4, u);
    o[3] = plus(plus(q, 8, t), 1.0F / 8, v);
    o[4] = plus(plus(p, 16, r), 1.0F / 16, u);
    o[5] = plus(plus(hn::Add(y[7], q), 32, t), 1.0F / 32, v);
  }
  static HWY_INLINE void pair_of_gradient(const V* y, float p, V* o) {
    const float pp = p * p;
    both_signs(plus(plus(y[0], pp, y[2]), pp * pp, y[4]), p, plus(plus(y[1], pp, y[3]), pp * pp, y[5]), o);
  }
  static HWY_INLINE void output_gradient(const V* y, V* o) {
    o[0] = y[0];
    pair_of_gradient(y, 1, o + 1);
    pair_of_gradient(y, 2, o + 3);
    pair_of_gradient(y, 0.5F, o + 5);
    o[7] = y[5];
  }
  static constexpr float f1 = -2.0F / 9, f2 = 1.0F / 90, f3 = 32.0F / 45;
  static HWY_INLINE void pair_of_weights(const V* g, float f, float p, V* o) {
    both_signs(times(f, plus(g[0], p * p, g[2])), f * p, g[1], o);
  }
  static HWY_INLINE void weights(const V* g, V* o) {
    o[0] = g[0];
    pair_of_weights(g, f1, 1, o + 1);
    pair_of_weights(g, f2, 2, o + 3);
    pair_of_weights(g, f3, 0.5F, o + 5);
    o[7] = g[2];
  }
  static HWY_INLINE void weight_result(const V* u, V* o) {
    const V p = times(f1, hn::Add(u[1], u[2])), q = times(f1, hn::Sub(u[1], u[2]));
    const V r = times(f2, hn::Add(u[3], u[4])), t = times(2 * f2, hn::Sub(u[3], u[4]));
    const V v = times(f3, hn::Add(u[5], u[6])), w = times(f3 / 2, hn::Sub(u[5], u[6]));
    o[0] = hn::Add(hn::Add(u[0], p), hn::Add(r, v));
    o[1] = hn::Add(hn::Add(q, t), w);
    o[2] = plus(plus(hn::Add(u[7], p), 4, r), 0.25F, v);
  }
};

// F(3, 2) of four numbers with the weights of taps 0 and 2.
HWY_INLINE void even_input(V x0, V x1, V x2, V x3, V* o) {
  o[0] = hn::Sub(x0, x2);
  o[1] = hn::Add(x1, x2);
  o[2] = hn::Sub(x2, x1);
  o[3] = hn::Sub(x3, x1);
}
HWY_INLINE void even_output(const V* y, V* o) {
  const V sum = hn::Add(y[1], y[2]);
  o[0] = hn::Add(y[0], sum);
  o[1] = hn::Sub(y[1], y[2]);
  o[2] = hn::Add(sum, y[3]);
}

struct Parity {
  using Weights = Parity;
  static constexpr bool kForward = true, kGradient = false;  // passes whose result it gives
  static constexpr int kIn = 7, kPoints = 7, kMatrices = 5, kOut = 3;
  static constexpr int kInStep = 6;
  static HWY_INLINE void input(const V* x, V* o) {
    even_input(x[0], x[2], x[4], x[6], o);
    o[4] = x[1];
    o[5] = x[3];
    o[6] = x[5];
  }
  static HWY_INLINE void output(const V* y, V* o) {
    even_output(y, o);
    for (int k = 0; k < 3; ++k) o[k] = hn::Add(o[k], y[4 + k]);
  }
  static HWY_INLINE void output_gradient(const V* y, V* o) {
    const V ends = hn::Add(y[0], y[2]);
    o[0] = y[0];
    o[1] = hn::Add(ends, y[1]);
    o[2] = hn::Sub(ends, y[1]);
    o[3] = y[2];
    for (int k = 0; k < 3; ++k) o[4 + k] = y[k];
  }
  static HWY_INLINE void weights(const V* g, V* o) {
    o[0] = g[0];
    o[1] = times(0.5F, hn::Add(g[0], g[2]));
    o[2] = times(0.5F, hn::Sub(g[0], g[2]));
    o[3] = g[2];
    o[4] = g[1];
  }
  static HWY_INLINE void weight_result(const V* u, V* o) {
    o[0] = plus(u[0], 0.5F, hn::Add(u[1], u[2]));
    o[1] = u[4];
    o[2] = plus(u[3], 0.5F, hn::Sub(u[1], u[2]));
  }
};

// kOdd: an odd pixel comes first.
template <bool kOdd>
struct ParityGradient {
  using Weights = Parity;                                    // whose transform of weights it shares
  static constexpr bool kForward = false, kGradient = true;  // passes whose result it gives
  static constexpr int kIn = 4, kPoints = 7, kMatrices = 5, kOut = 6;
  static constexpr int kInStep = 3;
  static HWY_INLINE void input(const V* x, V* o) {
    even_input(x[0], x[1], x[2], x[3], o);
    for (int k = 0; k < 3; ++k) o[4 + k] = x[kOdd ? k : 1 + k];
  }
  static HWY_INLINE void output(const V* y, V* o) {
    V even[3];
    even_output(y, even);
    for (int k = 0; k < 3; ++k) {
      o[2 * k] = kOdd ? y[4 + k] : even[k];
      o[2 * k + 1] = kOdd ? even[k] : y[4 + k];
    }
  }
};

// Applies the one-dimensional transform f, In numbers to Out, to the columns and then to the rows of
// what load(i, j) gives; store(i, j, v) takes the results.
template <int In, int Out, void (*f)(const V*, V*), class Load, class Store>
HWY_INLINE void both_ways(const Load& load, const Store& store) {
  V half[Out][In];
#pragma GCC unroll 8
  for (int j = 0; j < In; ++j) {
    V x[In], o[Out];
#pragma GCC unroll 8
    for (int i = 0; i < In; ++i) x[i] = load(i, j);
    f(x, o);
#pragma GCC unroll 8
    for (int i = 0; i < Out; ++i) half[i][j] = o[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < Out; ++i) {
    V o[Out];
    f(half[i], o);
#pragma GCC unroll 8
    for (int j = 0; j < Out; ++j) store(i, j, o[j]);
  }
}

// The same from memory to memory, out of line and in loops: what the channels behind the last whole vector go
// through, since instances for them beside those for whole vectors would double the code.
template <int In, int Out, void (*f)(const V*, V*)>
HWY_NOINLINE void both_ways_in_memory(const V* HWY_RESTRICT from, V* HWY_RESTRICT to) {
  V half[Out * In], x[In], o[Out];
#pragma GCC unroll 1
  for (int j = 0; j < In; ++j) {
#pragma GCC unroll 1
    for (int i = 0; i < In; ++i) x[i] = from[i * In + j];
    f(x, o);
#pragma GCC unroll 1
    for (int i = 0; i < Out; ++i) half[i * In + j] = o[i];
  }
#pragma GCC unroll 1
  for (int i = 0; i < Out; ++i) f(half + i * In, to + i * Out);
}

// Either, with the meaning of both_ways(), as suits the channels that `Access` is of.
template <class Access, int In, int Out, void (*f)(const V*, V*), class Load, class Store>
HWY_INLINE void transform_both_ways(const Load& load, const Store& store) {
  if constexpr (std::is_same_v<Access, Whole>) {
    both_ways<In, Out, f>(load, store);
  } else {
    V from[In * In], to[Out * Out];
#pragma GCC unroll 1
    for (int i = 0; i < In; ++i) {
#pragma GCC unroll 1
      for (int j = 0; j < In; ++j) from[i * In + j] = load(i, j);
    }
    both_ways_in_memory<In, Out, f>(from, to);
#pragma GCC unroll 1
    for (int i = 0; i < Out; ++i) {
#pragma GCC unroll 1
      for (int j = 0; j < Out; ++j) store(i, j, to[i * Out + j]);
    }
  }
}

// Calls op.run(access, c) for the vectors of c channels.
template <class Op>
HWY_INLINE void for_vectors(const Op& op, std::int64_t channels) {
  std::int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) op.run(Whole(), c);
  if (c < channels) op.run(Part(channels - c), c);
}

// Image, first line and first column of a tile.
struct Place {
  std::int64_t image, y, x;
  Place(const Tiles& tiles, std::int64_t tile, std::int64_t step) {
    const std::int64_t in_image = tile % (tiles.down * tiles.across);
    image = tile / (tiles.down * tiles.across);
    y = in_image / tiles.across * step + tiles.top;
    x = in_image % tiles.across * step + tiles.left;
  }
};

#if RESNET_BF16_TARGET
using resnet::kernels::HWY_NAMESPACE::pairs_of;
HWY_INLINE void store_pairs(V low, V high, float* p) {
  hn::StoreU(pairs_of(low, high), d, p);
}
#endif

// Whether the c-th element of a pixel begins a line, so that each is prefetched once.
template <class T>
HWY_INLINE bool begins_line(std::int64_t c) {
  return c % (64 / static_cast<std::int64_t>(sizeof(T))) == 0;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv
HWY_AFTER_NAMESPACE();

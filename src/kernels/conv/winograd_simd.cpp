#include "kernels/conv/winograd_simd.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/winograd_simd.cpp"
#include "kernels/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/lanes.h"

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

// Points 0, 1, -1/2, -2 and infinity.
struct F3 {
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
  static constexpr int kIn = 6, kPoints = 6, kMatrices = 6, kOut = 4;
  static constexpr int kInStep = 4;
  static constexpr float a = 2.0F / 3, b = 1.5F, aa = 4.0F / 9, bb = 2.25F, aaa = 8.0F / 27, bbb = 3.375F;
  static constexpr float s = 97.0F / 36;  // a^2 + b^2
  static HWY_INLINE void input(const V* x, V* o) {
    o[0] = minus(hn::Add(x[0], x[4]), s, x[2]);
    V even = minus(x[4], bb, x[2]), odd = minus(x[3], bb, x[1]);
    o[1] = plus(even, a, odd);
    o[2] = minus(even, a, odd);
    even = minus(x[4], aa, x[2]);
    odd = minus(x[3], aa, x[1]);
    o[3] = plus(even, b, odd);
    o[4] = minus(even, b, odd);
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
    V even = plus(y0, aa, y2), odd = plus(y1, aa, y3);
    o[0] = plus(even, a, odd);
    o[1] = minus(even, a, odd);
    even = plus(y0, bb, y2);
    odd = plus(y1, bb, y3);
    o[2] = plus(even, b, odd);
    o[3] = minus(even, b, odd);
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
  static HWY_INLINE void weights(const V* g, V* o) { Parity::weights(g, o); }
};

// Applies the one-dimensional transform f, In numbers to Out, to the columns and then to the rows of
// what load(i, j) gives; store(i, j, v) takes the results.
template <int In, int Out, void (*f)(const V*, V*), class Load, class Store>
HWY_INLINE void both_ways(const Load& load, const Store& store) {
  V half[Out][In];
#pragma GCC unroll 7
  for (int j = 0; j < In; ++j) {
    V x[In], o[Out];
#pragma GCC unroll 7
    for (int i = 0; i < In; ++i) x[i] = load(i, j);
    f(x, o);
#pragma GCC unroll 7
    for (int i = 0; i < Out; ++i) half[i][j] = o[i];
  }
#pragma GCC unroll 7
  for (int i = 0; i < Out; ++i) {
    V o[Out];
    f(half[i], o);
#pragma GCC unroll 7
    for (int j = 0; j < Out; ++j) store(i, j, o[j]);
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
// Two rows of numbers to words of bf16.
HWY_INLINE void store_pairs(V low, V high, float* p) {
  using resnet::kernels::HWY_NAMESPACE::to_bf16;
  const __m512i upper = _mm512_slli_epi32(_mm512_cvtepu16_epi32(to_bf16(high)), 16);
  _mm512_storeu_si512(p, _mm512_or_si512(_mm512_cvtepu16_epi32(to_bf16(low)), upper));
}
#endif

// Where the pixels of a tile stand; those outside read as zero.
template <class T, int In>
HWY_INLINE void find_pixels(const TilePoints<T>& args, std::int64_t tile, std::int64_t step,
                            const T** pixels) {
  const Tiles& tiles = args.tiles;
  const Place place(tiles, tiles.begin + tile, step);
  const T* image = args.image + place.image * tiles.h * tiles.w * tiles.c;
  for (int i = 0; i < In; ++i) {
    const std::int64_t y = place.y + i;
    for (int j = 0; j < In; ++j) {
      const std::int64_t x = place.x + j;
      const bool inside = y >= 0 && y < tiles.h && x >= 0 && x < tiles.w;
      pixels[i * In + j] = inside ? image + (y * tiles.w + x) * tiles.c : args.zeros;
    }
  }
}

// Whether the c-th number of a pixel begins a line, so that each is asked for once.
template <class T>
HWY_INLINE bool begins_line(std::int64_t c) {
  return c % (64 / static_cast<std::int64_t>(sizeof(T))) == 0;
}

// What the next tile reads is asked for while this one is transformed: a tile's pixels lie in too many places
// for the processor to foresee.
template <class T, int In>
HWY_INLINE void ask_for(const T* const* pixels, std::int64_t c) {
  if (!begins_line<T>(c)) return;
#pragma GCC unroll 49
  for (int i = 0; i < In * In; ++i) __builtin_prefetch(pixels[i] + c);
}

// In x In pixels of a tile, through f, to Out x Out points.
template <class T, int In, int Out, void (*f)(const V*, V*)>
struct ToPoints {
  const T *const *pixels, *const *next;
  T* to;
  std::int64_t stride;

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    ask_for<T, In>(next, c);
    T* HWY_RESTRICT out = to + c;
    both_ways<In, Out, f>([&](int i, int j) HWY_ATTR { return access.load(pixels[i * In + j] + c); },
                          [&](int i, int j, V v)
                              HWY_ATTR { Whole().store(v, out + (i * Out + j) * stride); });
  }
};

template <class T, class F, int In, int Step, void (*f)(const V*, V*)>
void to_points(const TilePoints<T>& args) {
  const T* found[2][In * In];  // of even and odd tiles
  find_pixels<T, In>(args, 0, Step, found[0]);
  ToPoints<T, In, F::kPoints, f> op;
  op.stride = args.point_stride;
  for (std::int64_t t = 0; t < args.tiles.count; ++t) {
    op.pixels = found[t % 2];
    op.next = found[(t + 1) % 2];
    find_pixels<T, In>(args, std::min(t + 1, args.tiles.count - 1), Step, found[(t + 1) % 2]);
    op.to = args.points + t * args.row_stride;
    for_vectors(op, args.tiles.c);
  }
}

#if RESNET_BF16_TARGET
// The same for two tiles at once, to words.
template <int In, int Out, void (*f)(const V*, V*)>
struct ToPairs {
  const BFloat16 *const *low, *const *high, *const *next_low, *const *next_high;  // pixels
  float* to;
  std::int64_t stride;  // words

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    ask_for<BFloat16, In>(next_low, c);
    ask_for<BFloat16, In>(next_high, c);
    V points[Out * Out];
    both_ways<In, Out, f>([&](int i, int j) HWY_ATTR { return access.load(low[i * In + j] + c); },
                          [&](int i, int j, V v) HWY_ATTR { points[i * Out + j] = v; });
    float* HWY_RESTRICT out = to + c;
    both_ways<In, Out, f>([&](int i, int j) HWY_ATTR { return access.load(high[i * In + j] + c); },
                          [&](int i, int j, V v) HWY_ATTR {
                            store_pairs(points[i * Out + j], v, out + (i * Out + j) * stride);
                          });
  }
};

template <class F, int In, int Step, void (*f)(const V*, V*)>
void to_pairs(const TilePoints<BFloat16>& args) {
  const BFloat16* found[4][In * In];
  const auto find = [&](std::int64_t t) {
    if (t < args.tiles.count) {
      find_pixels<BFloat16, In>(args, t, Step, found[t % 4]);
    } else {
      std::fill_n(found[t % 4], In * In, args.zeros);
    }
  };
  find(0);
  find(1);
  ToPairs<In, F::kPoints, f> op;
  op.stride = args.point_stride / 2;
  for (std::int64_t t = 0; t < args.tiles.count; t += 2) {
    find(t + 2);
    find(t + 3);
    op.low = found[t % 4];
    op.high = found[t % 4 + 1];
    op.next_low = found[(t + 2) % 4];
    op.next_high = found[(t + 2) % 4 + 1];
    op.to = reinterpret_cast<float*>(args.points + t * args.row_stride);
    for_vectors(op, args.tiles.c);
  }
}
#endif

// kStream: whole lines go past the caches, which saves reading them first. Who reads the result next starts
// with what was written long ago.
template <class T, class F, bool kAdd, bool kStream>
struct FromPoints {
  const float* from;
  std::int64_t stride;
  const float* bias;
  const T* addend;  // as `to`, where it may be
  T* to;
  std::int64_t line, pixel;               // elements
  std::int64_t top, left, bottom, right;  // pixels of the tile that the image has

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    const float* HWY_RESTRICT in = from + c;
    const V b = bias != nullptr ? access.load(bias + c) : hn::Zero(d);
    ask_for_right(c);
    const auto load = [&](int i, int j) HWY_ATTR { return hn::LoadU(d, in + (i * F::kPoints + j) * stride); };
    const auto store = [&](int i, int j, V v) HWY_ATTR {
      const std::int64_t at = i * line + j * pixel + c;
      v = hn::Add(v, b);
      if constexpr (kAdd) v = hn::Add(v, access.load(addend + at));
      if constexpr (kStream) {
        hn::Stream(v, d, to + at);
      } else {
        access.store(v, to + at);
      }
    };
    if (top == 0 && left == 0 && bottom == F::kOut && right == F::kOut) {
      both_ways<F::kPoints, F::kOut, &F::output>(load, store);
    } else {
      both_ways<F::kPoints, F::kOut, &F::output>(load, [&](int i, int j, V v) HWY_ATTR {
        if (i >= top && i < bottom && j >= left && j < right) store(i, j, v);
      });
    }
  }

 private:
  // The tile to the right is written next; a hint may point anywhere.
  HWY_INLINE void ask_for_right(std::int64_t c) const {
    if (!begins_line<T>(c)) return;
#pragma GCC unroll 6
    for (int i = 0; i < F::kOut; ++i) {
#pragma GCC unroll 6
      for (int j = 0; j < F::kOut; ++j) {
        const std::int64_t at = i * line + (j + F::kOut) * pixel + c;
        if constexpr (kAdd) __builtin_prefetch(addend + at);
        if constexpr (!kStream) __builtin_prefetch(to + at, 1);
      }
    }
  }
};

template <class T, class F, bool kAdd, bool kStream>
void write_from_points(const TileSums<T>& args) {
  const Tiles& tiles = args.tiles;
  FromPoints<T, F, kAdd, kStream> op;
  op.stride = args.point_stride;
  op.bias = args.bias;
  op.pixel = tiles.c;
  op.line = tiles.w * tiles.c;
  for (std::int64_t t = 0; t < tiles.count; ++t) {
    const Place place(tiles, tiles.begin + t, F::kOut);
    const std::int64_t at = ((place.image * tiles.h + place.y) * tiles.w + place.x) * tiles.c;
    op.from = args.points + t * args.row_stride;
    op.addend = kAdd ? args.addend + at : nullptr;
    op.to = args.image + at;
    op.top = std::max<std::int64_t>(0, -place.y);
    op.left = std::max<std::int64_t>(0, -place.x);
    op.bottom = std::min<std::int64_t>(F::kOut, tiles.h - place.y);
    op.right = std::min<std::int64_t>(F::kOut, tiles.w - place.x);
    for_vectors(op, tiles.c);
  }
  if (kStream) hwy::FlushStream();
}

template <class T, class F, bool kAdd>
void add_from_points(const TileSums<T>& args) {
  if constexpr (resnet::kernels::HWY_NAMESPACE::kStreams<T>) {
    if (args.tiles.c % kLanes == 0) return write_from_points<T, F, kAdd, true>(args);
  }
  write_from_points<T, F, kAdd, false>(args);
}

template <class T, class F>
void from_points(const TileSums<T>& args) {
  args.addend != nullptr ? add_from_points<T, F, true>(args) : add_from_points<T, F, false>(args);
}

// One vector of weights of neighbouring outputs; of two inputs where words are pairs.
template <class F, bool kPairs>
struct Weights {
  const float* w;
  std::int64_t tap;   // floats between taps
  std::int64_t next;  // and to the weights of the next input, or 0 where there is none
  float* to;
  std::int64_t stride;

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    const auto load = [&](int i, int j) HWY_ATTR { return access.load(w + (i * 3 + j) * tap + c); };
    float* HWY_RESTRICT out = to + c;
    if constexpr (kPairs) {
#if RESNET_BF16_TARGET
      V low[F::kMatrices * F::kMatrices];
      both_ways<3, F::kMatrices, &F::weights>(
          load, [&](int i, int j, V v) HWY_ATTR { low[i * F::kMatrices + j] = v; });
      const auto load_next = [&](int i, int j) HWY_ATTR {
        return next == 0 ? hn::Zero(d) : access.load(w + (i * 3 + j) * tap + next + c);
      };
      both_ways<3, F::kMatrices, &F::weights>(load_next, [&](int i, int j, V v) HWY_ATTR {
        store_pairs(low[i * F::kMatrices + j], v, out + (i * F::kMatrices + j) * stride);
      });
#endif
    } else {
      both_ways<3, F::kMatrices, &F::weights>(
          load, [&](int i, int j, V v) HWY_ATTR { hn::StoreU(v, d, out + (i * F::kMatrices + j) * stride); });
    }
  }
};

// What an input gradient needs: weights of kTurned of its inputs, turned by 180 degrees, as they would stand
// in memory if they belonged to a forward pass.
constexpr std::int64_t kTurned = 8;
constexpr std::int64_t kTurnedColumns = 64;  // of a panel, at most
HWY_INLINE void turn(const WeightTransform& args, std::int64_t k, std::int64_t first, std::int64_t columns,
                     float* HWY_RESTRICT to) {
  const std::int64_t count = std::min(kTurned, args.co - k);
  for (std::int64_t tap = 0; tap < 9; ++tap, to += kTurned * kTurnedColumns) {
    const float* HWY_RESTRICT from = args.w + (8 - tap) * args.ci * args.co + first * args.co + k;
    for (std::int64_t j = 0; j < columns; ++j, from += args.co) {
      for (std::int64_t i = 0; i < count; ++i) to[i * kTurnedColumns + j] = from[i];
    }
  }
}

template <class F, bool kPairs>
void weights(const WeightTransform& args) {
  constexpr std::int64_t kStep = kPairs ? 2 : 1;
  const std::int64_t in = args.mirrored ? args.co : args.ci, out = args.mirrored ? args.ci : args.co;
  const std::int64_t first = args.panel * args.panel_columns;
  const std::int64_t columns = std::min(args.panel_columns, out - first);
  const std::int64_t width = (columns + kLanes - 1) / kLanes * kLanes;
  HWY_ALIGN float turned[9 * kTurned * kTurnedColumns];
  Weights<F, kPairs> op = {.w = nullptr,
                           .tap = args.mirrored ? kTurned * kTurnedColumns : args.ci * args.co,
                           .next = 0,
                           .to = args.points + args.panel * args.panel_words + args.begin / kStep * width,
                           .stride = args.point_stride};
  for (std::int64_t k = args.begin; k < args.end; k += kStep, op.to += width) {
    const std::int64_t in_block = (k - args.begin) % kTurned;
    if (args.mirrored && in_block == 0) turn(args, k, first, columns, turned);
    op.w = args.mirrored ? turned + in_block * kTurnedColumns : args.w + k * args.co + first;
    op.next = k + 1 == in ? 0 : args.mirrored ? kTurnedColumns : args.co;
    for_vectors(op, columns);
  }
}

template <class F>
struct Result {
  const float* from;
  std::int64_t stride;
  float* dw;
  std::int64_t tap;

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    both_ways<F::kMatrices, 3, &F::weight_result>(
        [&](int i, int j) HWY_ATTR { return hn::LoadU(d, from + c + (i * F::kMatrices + j) * stride); },
        [&](int i, int j, V v) HWY_ATTR { access.store(v, dw + c + (i * 3 + j) * tap); });
  }
};

template <class F>
void weight_result(const WeightResult& args) {
  for (std::int64_t k = args.begin; k < args.end; ++k) {
    for_vectors(Result<F>{args.points + k * args.row_stride, args.point_stride, args.dw + k * args.co,
                          args.ci * args.co},
                args.co);
  }
}

template <class T, class F>
constexpr WinogradFunctions<T> product_functions() {
  return {.axis_points = F::kPoints,
          .axis_matrices = F::kMatrices,
          .output_step = F::kOut,
          .input = &to_points<T, F, F::kIn, F::kInStep, &F::input>,
          .output = &from_points<T, F>,
          .weights = &weights<F, !std::is_same_v<T, float>>};
}

template <class T, class F>
constexpr WinogradFunctions<T> functions() {
  WinogradFunctions<T> result = product_functions<T, F>();
  if constexpr (std::is_same_v<T, float>) {
    result.summed_input = result.input;
    result.summed_output_gradient = &to_points<T, F, F::kOut, F::kOut, &F::output_gradient>;
  } else {
#if RESNET_BF16_TARGET
    result.summed_input = &to_pairs<F, F::kIn, F::kInStep, &F::input>;
    result.summed_output_gradient = &to_pairs<F, F::kOut, F::kOut, &F::output_gradient>;
#endif
  }
  result.weight_result = &weight_result<F>;
  return result;
}

}  // namespace

// By Cut3x3.
const WinogradFunctions<float> kFunctions[] = {
    functions<float, F3>(), functions<float, F4>(), functions<float, Parity>(),
    product_functions<float, ParityGradient<false>>(), product_functions<float, ParityGradient<true>>()};
#if RESNET_BF16_TARGET
const WinogradFunctions<BFloat16> kFunctionsBf16[] = {functions<BFloat16, F3>(), functions<BFloat16, F4>(),
                                                      functions<BFloat16, Parity>(),
                                                      product_functions<BFloat16, ParityGradient<false>>(),
                                                      product_functions<BFloat16, ParityGradient<true>>()};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels::conv {

template <>
const WinogradFunctions<float>& winograd_functions<float>(Isa isa, Cut3x3 cut) {
  return RESNET_FOR_ISA(isa, kFunctions)[static_cast<std::size_t>(cut)];
}
template <>
const WinogradFunctions<BFloat16>& winograd_functions<BFloat16>(Isa, Cut3x3 cut) {
  return RESNET_FOR_BF16(kFunctionsBf16)[static_cast<std::size_t>(cut)];
}

}  // namespace resnet::kernels::conv
#endif

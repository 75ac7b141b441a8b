// Tiles of images to points: what Winograd's products read.
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/conv/winograd/transforms_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/winograd/points_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/conv/winograd/cuts.h"

HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv {
namespace HWY_NAMESPACE {
namespace {

// Where the pixels of a tile stand; those outside read as zero.
template <class T, int In>
struct Pixels {
  const T* at[In * In];
  bool inside[In * In];
  bool whole = true;  // all inside

  // `step`: pixels between tiles. Out of line: once a tile, and every transform of that size calls it.
  HWY_NOINLINE void find(const TilePoints<T>& args, std::int64_t tile, std::int64_t step) {
    const Tiles& tiles = args.tiles;
    const Place place(tiles, tiles.begin + tile, step);
    const T* image = args.image + place.image * tiles.h * tiles.w * tiles.c;
    whole = place.y >= 0 && place.y + In <= tiles.h && place.x >= 0 && place.x + In <= tiles.w;
    for (int i = 0; i < In; ++i) {
      const std::int64_t y = place.y + i;
      for (int j = 0; j < In; ++j) {
        const std::int64_t x = place.x + j;
        inside[i * In + j] = y >= 0 && y < tiles.h && x >= 0 && x < tiles.w;
        at[i * In + j] = inside[i * In + j] ? image + (y * tiles.w + x) * tiles.c : args.zeros;
      }
    }
  }
  HWY_INLINE void set_outside(const T* zeros) {
    std::fill_n(at, In * In, zeros);
    std::fill_n(inside, In * In, false);
    whole = false;
  }
};

// What the next tile reads is prefetched while this one is transformed: a tile's pixels lie in too many
// places for the processor to foresee.
template <class Access, class T, int In>
HWY_INLINE void prefetch(const Pixels<T, In>& pixels, std::int64_t c) {
  if (!begins_line<T>(c)) return;
  if constexpr (std::is_same_v<Access, Whole>) {
#pragma GCC unroll 64
    for (int i = 0; i < In * In; ++i) __builtin_prefetch(pixels.at[i] + c);
  } else {
#pragma GCC unroll 1
    for (int i = 0; i < In * In; ++i) __builtin_prefetch(pixels.at[i] + c);
  }
}

// How a pixel is read: as it stands, or through a batch norm.
struct AsStored {
  template <class Access>
  struct At {
    HWY_INLINE At(const AsStored&, const Access& to, std::int64_t c) : access(to), channel(c) {}
    template <class T, int In>
    HWY_INLINE V load(const Pixels<T, In>& pixels, int k) const {
      return access.load(pixels.at[k] + channel);
    }
    const Access& access;
    std::int64_t channel;
  };
};
template <bool kWhole>
struct Normed {
  const float* table;
  std::int64_t channels;
  float floor;
  HWY_INLINE Normed(const float* t, std::int64_t c, float low) : table(t), channels(c), floor(low) {}
  template <class Access>
  struct At {
    HWY_INLINE At(const Normed& norm, const Access& to, std::int64_t c)
        : access(to),
          channel(c),
          mean(to.load(norm.table + c)),
          scale(to.load(norm.table + norm.channels + c)),
          offset(to.load(norm.table + 2 * norm.channels + c)),
          floor(hn::Set(d, norm.floor)) {}
    template <class T, int In>
    HWY_INLINE V load(const Pixels<T, In>& pixels, int k) const {
      if (!kWhole && !pixels.inside[k]) return hn::Zero(d);
      const V x = hn::Sub(access.load(pixels.at[k] + channel), mean);
      return hn::Max(floor, hn::MulAdd(x, scale, offset));  // of x86's maximum a NaN in the second stays
    }
    const Access& access;
    std::int64_t channel;
    V mean, scale, offset, floor;
  };
};

// Calls run(the way to read that args want). kNormed: they may want a norm. `whole`: no pixel is outside.
template <bool kNormed, class T, class Run>
HWY_INLINE void choose_reading(const TilePoints<T>& args, bool whole, const Run& run) {
  if constexpr (kNormed) {
    if (args.table != nullptr && whole) return run(Normed<true>(args.table, args.tiles.c, args.floor));
    if (args.table != nullptr) return run(Normed<false>(args.table, args.tiles.c, args.floor));
  }
  run(AsStored());
}

// In x In pixels of a tile, through f, to Out x Out points.
template <class T, int In, int Out, void (*f)(const V*, V*), class Read>
struct ToPoints {
  Read read;
  const Pixels<T, In>&pixels, &next;
  T* to;
  std::int64_t stride;

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    prefetch<Access>(next, c);
    const typename Read::template At<Access> at(read, access, c);
    T* HWY_RESTRICT out = to + c;
    transform_both_ways<Access, In, Out, f>(
        [&](int i, int j) HWY_ATTR { return at.load(pixels, i * In + j); },
        [&](int i, int j, V v) HWY_ATTR { Whole().store(v, out + (i * Out + j) * stride); });
  }
};

template <class T, class F, int In, int Step, void (*f)(const V*, V*), bool kNormed>
void to_points(const TilePoints<T>& args) {
  Pixels<T, In> found[2];  // of even and odd tiles
  found[0].find(args, 0, Step);
  for (std::int64_t t = 0; t < args.tiles.count; ++t) {
    const Pixels<T, In>& pixels = found[t % 2];
    Pixels<T, In>& next = found[(t + 1) % 2];
    next.find(args, std::min(t + 1, args.tiles.count - 1), Step);
    const auto transform = [&]<class Read>(const Read& read) HWY_ATTR {
      for_vectors(ToPoints<T, In, F::kPoints, f, Read>{read, pixels, next, args.points + t * args.row_stride,
                                                       args.point_stride},
                  args.tiles.c);
    };
    choose_reading<kNormed>(args, pixels.whole, transform);
  }
}

#if RESNET_BF16_TARGET
// The same for two tiles at once, to words.
template <int In, int Out, void (*f)(const V*, V*), class Read>
struct ToPairs {
  Read read;
  const Pixels<BFloat16, In>&low, &high, &next_low, &next_high;
  float* to;
  std::int64_t stride;  // words

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    prefetch<Access>(next_low, c);
    prefetch<Access>(next_high, c);
    const typename Read::template At<Access> at(read, access, c);
    V points[Out * Out];
    transform_both_ways<Access, In, Out, f>([&](int i, int j) HWY_ATTR { return at.load(low, i * In + j); },
                                            [&](int i, int j, V v) HWY_ATTR { points[i * Out + j] = v; });
    float* HWY_RESTRICT out = to + c;
    transform_both_ways<Access, In, Out, f>(
        [&](int i, int j) HWY_ATTR { return at.load(high, i * In + j); },
        [&](int i, int j, V v)
            HWY_ATTR { store_pairs(points[i * Out + j], v, out + (i * Out + j) * stride); });
  }
};

// Calls run(t, pixels of tile t, of t + 1, of t + 2, of t + 3) for even t. A tile behind the last is outside.
template <int In, int Step, class Run>
HWY_INLINE void for_pairs(const TilePoints<BFloat16>& args, const Run& run) {
  Pixels<BFloat16, In> found[4];
  const auto find = [&](std::int64_t t) HWY_ATTR {
    t < args.tiles.count ? found[t % 4].find(args, t, Step) : found[t % 4].set_outside(args.zeros);
  };
  find(0);
  find(1);
  for (std::int64_t t = 0; t < args.tiles.count; t += 2) {
    find(t + 2);
    find(t + 3);
    run(t, found[t % 4], found[t % 4 + 1], found[(t + 2) % 4], found[(t + 2) % 4 + 1]);
  }
}

template <class F, int In, int Step, void (*f)(const V*, V*), bool kNormed>
void to_pairs(const TilePoints<BFloat16>& args) {
  for_pairs<In, Step>(args, [&](std::int64_t t, const Pixels<BFloat16, In>& low,
                                const Pixels<BFloat16, In>& high, const Pixels<BFloat16, In>& next_low,
                                const Pixels<BFloat16, In>& next_high) HWY_ATTR {
    auto* to = reinterpret_cast<float*>(args.points + t * args.row_stride);
    const auto transform = [&]<class Read>(const Read& read) HWY_ATTR {
      for_vectors(
          ToPairs<In, F::kPoints, f, Read>{read, low, high, next_low, next_high, to, args.point_stride / 2},
          args.tiles.c);
    };
    choose_reading<kNormed>(args, low.whole && high.whole, transform);
  });
}
#endif

// The pixels of a tile of a batch norm's gradient; they are written as they are made.
template <class T, class F, class Access>
struct NormGradient {
  static constexpr int kSize = F::kOut;
  V dy[kSize * kSize];

  HWY_INLINE NormGradient(const GradientPoints<T>& args, const Pixels<T, kSize>& pixels,
                          const Pixels<T, kSize>& next, const Access& access, std::int64_t c) {
    const float* table = args.table + c;
    const std::int64_t channels = args.dz.tiles.c;
    const V mean = access.load(table), scale_dz = access.load(table + channels),
            scale_x = access.load(table + 2 * channels), offset = access.load(table + 3 * channels);
    const auto make = [&](int k) HWY_ATTR {
      const std::ptrdiff_t at = pixels.at[k] - args.dz.image + c;
      const V dz = access.load(args.dz.image + at), x = hn::Sub(access.load(args.x + at), mean);
      dy[k] = hn::MulAdd(dz, scale_dz, hn::MulAdd(x, scale_x, offset));
      access.store(dy[k], args.dy + at);
    };
    if (begins_line<T>(c)) {
#pragma GCC unroll 1
      for (int k = 0; k < kSize * kSize; ++k) {
        __builtin_prefetch(next.at[k] + c);
        if (next.inside[k]) __builtin_prefetch(args.x + (next.at[k] - args.dz.image) + c);
      }
    }
    if constexpr (std::is_same_v<Access, Part>) {
#pragma GCC unroll 1
      for (int k = 0; k < kSize * kSize; ++k) {
        dy[k] = hn::Zero(d);
        if (pixels.inside[k]) make(k);
      }
    } else if (pixels.whole) {
#pragma GCC unroll 4
      for (int k = 0; k < kSize * kSize; ++k) make(k);
    } else {
      for (int k = 0; k < kSize * kSize; ++k) {
        dy[k] = hn::Zero(d);
        if (pixels.inside[k]) make(k);
      }
    }
  }
};

template <class T, class F>
struct GradientToPoints {
  const GradientPoints<T>& args;
  const Pixels<T, F::kOut>&pixels, &next;
  T* to;

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    constexpr int kIn = F::kOut, kOut = F::kPoints;
    const NormGradient<T, F, Access> made(args, pixels, next, access, c);
    T* HWY_RESTRICT out = to + c;
    transform_both_ways<Access, kIn, kOut, &F::output_gradient>(
        [&](int i, int j) HWY_ATTR { return made.dy[i * kIn + j]; },
        [&](int i, int j, V v) HWY_ATTR { Whole().store(v, out + (i * kOut + j) * args.dz.point_stride); });
  }
};

template <class T, class F>
void gradient_to_points(const GradientPoints<T>& args) {
  constexpr int kStep = F::kOut;
  const std::int64_t count = args.dz.tiles.count;
  Pixels<T, kStep> found[2];
  found[0].find(args.dz, 0, kStep);
  for (std::int64_t t = 0; t < count; ++t) {
    found[(t + 1) % 2].find(args.dz, std::min(t + 1, count - 1), kStep);
    for_vectors(GradientToPoints<T, F>{args, found[t % 2], found[(t + 1) % 2],
                                       args.dz.points + t * args.dz.row_stride},
                args.dz.tiles.c);
  }
}

#if RESNET_BF16_TARGET
template <class F>
struct GradientToPairs {
  const GradientPoints<BFloat16>& args;
  const Pixels<BFloat16, F::kOut>&low, &high, &next_low, &next_high;
  float* to;

  template <class Access>
  HWY_INLINE void run(const Access& access, std::int64_t c) const {
    constexpr int kIn = F::kOut, kOut = F::kPoints;
    const NormGradient<BFloat16, F, Access> made_low(args, low, next_low, access, c);
    const NormGradient<BFloat16, F, Access> made_high(args, high, next_high, access, c);
    V points[kOut * kOut];
    transform_both_ways<Access, kIn, kOut, &F::output_gradient>(
        [&](int i, int j) HWY_ATTR { return made_low.dy[i * kIn + j]; },
        [&](int i, int j, V v) HWY_ATTR { points[i * kOut + j] = v; });
    float* HWY_RESTRICT out = to + c;
    transform_both_ways<Access, kIn, kOut, &F::output_gradient>(
        [&](int i, int j) HWY_ATTR { return made_high.dy[i * kIn + j]; },
        [&](int i, int j, V v) HWY_ATTR {
          store_pairs(points[i * kOut + j], v, out + (i * kOut + j) * args.dz.point_stride / 2);
        });
  }
};

template <class F>
void gradient_to_pairs(const GradientPoints<BFloat16>& args) {
  using Found = Pixels<BFloat16, F::kOut>;
  for_pairs<F::kOut, F::kOut>(args.dz, [&](std::int64_t t, const Found& low, const Found& high,
                                           const Found& next_low, const Found& next_high) HWY_ATTR {
    auto* to = reinterpret_cast<float*>(args.dz.points + t * args.dz.row_stride);
    for_vectors(GradientToPairs<F>{args, low, high, next_low, next_high, to}, args.dz.tiles.c);
  });
}
#endif

template <class T, class F>
constexpr PointFunctions<T> input_functions() {
  return {.input = &to_points<T, F, F::kIn, F::kInStep, &F::input, F::kForward>};
}

template <class T, class F>
constexpr PointFunctions<T> functions() {
  PointFunctions<T> result = input_functions<T, F>();
  if constexpr (std::is_same_v<T, float>) {
    result.summed_input = &to_points<T, F, F::kIn, F::kInStep, &F::input, true>;
    result.summed_output_gradient = &to_points<T, F, F::kOut, F::kOut, &F::output_gradient, false>;
    result.summed_norm_gradient = &gradient_to_points<T, F>;
  } else {
#if RESNET_BF16_TARGET
    result.summed_input = &to_pairs<F, F::kIn, F::kInStep, &F::input, true>;
    result.summed_output_gradient = &to_pairs<F, F::kOut, F::kOut, &F::output_gradient, false>;
    result.summed_norm_gradient = &gradient_to_pairs<F>;
#endif
  }
  return result;
}

}  // namespace

// By Cut3x3.
const PointFunctions<float> kPointFunctions[] = {functions<float, F3>(),
                                                 functions<float, F4>(),
                                                 functions<float, F6>(),
                                                 functions<float, Parity>(),
                                                 input_functions<float, ParityGradient<false>>(),
                                                 input_functions<float, ParityGradient<true>>()};
#if RESNET_BF16_TARGET
const PointFunctions<BFloat16> kPointFunctionsBf16[] = {functions<BFloat16, F3>(),
                                                        functions<BFloat16, F4>(),
                                                        PointFunctions<BFloat16>(),
                                                        functions<BFloat16, Parity>(),
                                                        input_functions<BFloat16, ParityGradient<false>>(),
                                                        input_functions<BFloat16, ParityGradient<true>>()};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels::conv {

template <>
const PointFunctions<float>& point_functions<float>(Isa isa, Cut3x3 cut) {
  return RESNET_FOR_ISA(isa, kPointFunctions)[static_cast<std::size_t>(cut)];
}
template <>
const PointFunctions<BFloat16>& point_functions<BFloat16>(Isa, Cut3x3 cut) {
  return RESNET_FOR_BF16(kPointFunctionsBf16)[static_cast<std::size_t>(cut)];
}

}  // namespace resnet::kernels::conv
#endif

#include <algorithm>
#include <cstdint>

#include "kernels/pool/pool_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool/avg_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/pool/channel_lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Adds K pixels to the sums of one window; eight at once, so that few sums are long.
template <int kPixels, class T>
struct AddPixels {
  const T* x;
  Index pixel_stride;
  float* sums;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index channel) const {
    for (int k = 0; k < K; ++k) {
      const Index i = channel + k * lanes();
      V sum = at.load(x + i);
      for (int p = 1; p < kPixels; ++p) sum = hn::Add(sum, at.load(x + i + p * pixel_stride));
      at.store(hn::Add(at.load(sums + i), sum), sums + i);
    }
  }
};

template <class T>
void add_pixels(const T* x, Index pixels, Index channels, float* sums) {
  for (; pixels >= 8; pixels -= 8, x += 8 * channels) {
    for_channels(AddPixels<8, T>{x, channels, sums}, channels);
  }
  for (; pixels > 0; --pixels, x += channels) for_channels(AddPixels<1, T>{x, channels, sums}, channels);
}

template <class From, class To>
struct Scale {
  const From* x;
  V factor;
  To* y;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index channel) const {
    for (int k = 0; k < K; ++k) {
      const Index i = channel + k * lanes();
      at.store(hn::Mul(at.load(x + i), factor), y + i);
    }
  }
};

float share_of(const PoolTables& t, Index oh, Index ow) {
  const PoolGeometry& g = t.g;
  const Index pixels = g.count_padding ? g.padded_pixels(oh, ow)
                                       : at(t.window_rows, oh).size() * at(t.window_columns, ow).size();
  return 1.0F / static_cast<float>(pixels);
}

template <class T>
void avg(const PoolTables& t, Range rows, const T* x, T* y, float* sums) {
  const PoolGeometry& g = t.g;
  for (Index row = rows.first; row < rows.last; ++row) {
    const Index oh = row % g.ho();
    const T* image = x + row / g.ho() * g.h * g.w * g.c;
    const Range inside_h = at(t.window_rows, oh);
    for (Index ow = 0; ow < g.wo(); ++ow) {
      const Range inside_w = at(t.window_columns, ow);
      std::fill_n(sums, g.c, 0.0F);
      if (inside_w.size() == g.w) {  // whole rows are one run of pixels
        add_pixels(image + inside_h.first * g.w * g.c, inside_h.size() * g.w, g.c, sums);
      } else {
        for (Index h = inside_h.first; h < inside_h.last; ++h) {
          add_pixels(image + (h * g.w + inside_w.first) * g.c, inside_w.size(), g.c, sums);
        }
      }
      const V share = hn::Set(D(), share_of(t, oh, ow));
      for_channels(Scale<float, T>{sums, share, y + (row * g.wo() + ow) * g.c}, g.c);
    }
  }
}

template <class T>
struct AddScaled {
  const T* x;
  V factor;
  float* y;
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index channel) const {
    for (int k = 0; k < K; ++k) {
      const Index i = channel + k * lanes();
      at.store(hn::MulAdd(at.load(x + i), factor, at.load(y + i)), y + i);
    }
  }
};

// One window over a pixel is the rule, and needs no sums.
template <class T>
void avg_gradient(const PoolTables& t, Range rows, const T* dy, T* dx, float* sums) {
  const PoolGeometry& g = t.g;
  for (Index row = rows.first; row < rows.last; ++row) {
    const Index image = row / g.h * g.ho() * g.wo();
    const Range over_h = at(t.covering_rows, row % g.h);
    for (Index w = 0; w < g.w; ++w) {
      const Range over_w = at(t.covering_columns, w);
      T* out = dx + (row * g.w + w) * g.c;
      const Index windows = over_h.size() * over_w.size();
      if (windows == 0) std::fill_n(out, g.c, T(0.0F));
      bool first = true;
      for (Index oh = over_h.first; oh < over_h.last; ++oh) {
        for (Index ow = over_w.first; ow < over_w.last; ++ow) {
          const T* window = dy + (image + oh * g.wo() + ow) * g.c;
          const V factor = hn::Set(D(), share_of(t, oh, ow));
          if (windows == 1) {
            for_channels(Scale<T, T>{window, factor, out}, g.c);
          } else if (first) {
            for_channels(Scale<T, float>{window, factor, sums}, g.c);
          } else {
            for_channels(AddScaled<T>{window, factor, sums}, g.c);
          }
          first = false;
        }
      }
      if (windows > 1) for_channels(Scale<float, T>{sums, hn::Set(D(), 1.0F), out}, g.c);
    }
  }
}

template <class T>
constexpr AvgPoolFunctions<T> functions() {
  return {&avg<T>, &avg_gradient<T>};
}

}  // namespace

const AvgPoolFunctions<float> kAvgPool = functions<float>();
#if RESNET_BF16_TARGET
const AvgPoolFunctions<BFloat16> kAvgPoolBf16 = functions<BFloat16>();
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
template <>
const AvgPoolFunctions<float>& avg_pool_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kAvgPool);
}
template <>
const AvgPoolFunctions<BFloat16>& avg_pool_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kAvgPoolBf16);
}
}  // namespace resnet::kernels
#endif

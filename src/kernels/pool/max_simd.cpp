#include <algorithm>
#include <cstdint>

#include "kernels/pool/pool_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool/max_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/pool/channel_lanes.h"
// behind the above
#include "kernels/pool/index_lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {

/// One window, its part inside the map.
template <bool kIndex, bool kSigned, class T, class I>
struct MaxWindow {
  const T* x;  // its first pixel
  Index rows, columns, row_stride, pixel_stride;
  std::int32_t first_tap, taps_per_row;
  const float* sign;
  T* y;
  I* index;

  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index channel) const {
    V best[K], key[K], factor[K];
    VI place[K];
    for (int k = 0; k < K; ++k) {
      best[k] = at.load(x + channel + k * lanes());
      factor[k] = kSigned ? at.load(sign + channel + k * lanes()) : hn::Zero(D());
      key[k] = kSigned ? hn::Mul(best[k], factor[k]) : best[k];
      place[k] = hn::Set(DI(), first_tap);
    }
    for (Index row = 0; row < rows; ++row) {
      const T* pixel = x + row * row_stride + channel;
      std::int32_t tap = first_tap + static_cast<std::int32_t>(row) * taps_per_row;
      for (Index column = 0; column < columns; ++column, ++tap, pixel += pixel_stride) {
        const VI here = hn::Set(DI(), tap);
        for (int k = 0; k < K; ++k) {
          const V v = at.load(pixel + k * lanes());
          const V candidate = kSigned ? hn::Mul(v, factor[k]) : v;
          const auto larger = hn::Or(hn::Gt(candidate, key[k]), hn::IsNaN(candidate));
          key[k] = hn::IfThenElse(larger, candidate, key[k]);
          best[k] = kSigned ? hn::IfThenElse(larger, v, best[k]) : key[k];
          if constexpr (kIndex) place[k] = hn::IfThenElse(hn::RebindMask(DI(), larger), here, place[k]);
        }
      }
    }
    for (int k = 0; k < K; ++k) {
      at.store(best[k], y + channel + k * lanes());
      if constexpr (kIndex) store_index(at, place[k], index + channel + k * lanes());
    }
  }
};

/// The windows of one row of y: their first pixels inside the map, and those pixels' places in the window.
class WindowRow {
 public:
  WindowRow(const PoolTables& t, Index row)
      : t_(t),
        rows_(at(t.window_rows, row % t.g.ho())),
        line_((row / t.g.ho() * t.g.h + rows_.first) * t.g.w * t.g.c),
        tap_((rows_.first - (row % t.g.ho() * t.g.sh - t.g.ph)) * t.g.kw + t.g.pw) {}

  Index rows() const { return rows_.size(); }
  Index columns(Index ow) const { return at(t_.window_columns, ow).size(); }
  Index x(Index ow) const { return line_ + at(t_.window_columns, ow).first * t_.g.c; }
  std::int32_t tap(Index ow) const {
    return static_cast<std::int32_t>(tap_ + at(t_.window_columns, ow).first - ow * t_.g.sw);
  }

 private:
  const PoolTables& t_;
  Range rows_;
  Index line_, tap_;
};

template <bool kIndex, bool kSigned, class T, class I>
void max_rows(const PoolTables& t, Range rows, const T* x, const float* sign, T* y, I* index) {
  const PoolGeometry& g = t.g;
  const Index wo = g.wo();
  for (Index row = rows.first; row < rows.last; ++row) {
    const WindowRow windows(t, row);
    for (Index ow = 0; ow < wo; ++ow) {
      const Index output = (row * wo + ow) * g.c;
      const MaxWindow<kIndex, kSigned, T, I> op = {.x = x + windows.x(ow),
                                                   .rows = windows.rows(),
                                                   .columns = windows.columns(ow),
                                                   .row_stride = g.w * g.c,
                                                   .pixel_stride = g.c,
                                                   .first_tap = windows.tap(ow),
                                                   .taps_per_row = static_cast<std::int32_t>(g.kw),
                                                   .sign = sign,
                                                   .y = y + output,
                                                   .index = kIndex ? index + output : nullptr};
      for_channels(op, g.c);
    }
  }
}

bool byte_index(const PoolGeometry& g) {
  return max_pool_index_dtype(g) == DType::u8;
}

template <bool kSigned, class T>
void max_signed(const PoolTables& t, Range rows, const T* x, const float* sign, T* y, void* index) {
  auto* const bytes = static_cast<std::uint8_t*>(index);
  if (index == nullptr) return max_rows<false, kSigned>(t, rows, x, sign, y, bytes);
  if (byte_index(t.g)) return max_rows<true, kSigned>(t, rows, x, sign, y, bytes);
  max_rows<true, kSigned>(t, rows, x, sign, y, static_cast<std::int32_t*>(index));
}

template <class T>
void max(const PoolTables& t, Range rows, const T* x, const float* sign, T* y, void* index) {
  sign != nullptr ? max_signed<true>(t, rows, x, sign, y, index)
                  : max_signed<false>(t, rows, x, sign, y, index);
}

/// Adds to block [2][channels] what the windows [first, last) of a row of y have.
template <bool kMasked, class T, class I>
struct ChosenSums {
  const PoolGeometry& g;
  const WindowRow& windows;
  Index first, last;
  const T *dy, *y, *x;  // dy, y and index: at the first window of the row
  const I* index;
  const float* mean;
  float* block;

  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index channel) const {
    V sum[K], product[K], centre[K];
    for (int k = 0; k < K; ++k) {
      sum[k] = product[k] = hn::Zero(D());
      centre[k] = at.load(mean + channel + k * lanes());
    }
    for (Index ow = first; ow < last; ++ow) {
      const Index output = ow * g.c + channel, columns = windows.columns(ow);
      VI place[K];
      V chosen[K];
      for (int k = 0; k < K; ++k) {
        place[k] = load_index(at, index + output + k * lanes());
        chosen[k] = hn::Zero(D());
      }
      for (Index i = 0; i < windows.rows(); ++i) {
        const T* pixel = x + windows.x(ow) + i * g.w * g.c + channel;
        std::int32_t tap = windows.tap(ow) + static_cast<std::int32_t>(i * g.kw);
        for (Index j = 0; j < columns; ++j, ++tap, pixel += g.c) {
          const VI here = hn::Set(DI(), tap);
          for (int k = 0; k < K; ++k) {
            const auto is_it = hn::RebindMask(D(), hn::Eq(place[k], here));
            chosen[k] = hn::IfThenElse(is_it, at.load(pixel + k * lanes()), chosen[k]);
          }
        }
      }
      for (int k = 0; k < K; ++k) {
        V gradient = at.load(dy + output + k * lanes());
        if constexpr (kMasked) {
          gradient = hn::IfThenZeroElse(hn::Le(at.load(y + output + k * lanes()), hn::Zero(D())), gradient);
        }
        sum[k] = hn::Add(sum[k], gradient);
        product[k] = hn::MulAdd(gradient, hn::Sub(chosen[k], centre[k]), product[k]);
      }
    }
    for (int k = 0; k < K; ++k) {
      float* to = block + channel + k * lanes();
      at.store(hn::Add(at.load(to), sum[k]), to);
      at.store(hn::Add(at.load(to + g.c), product[k]), to + g.c);
    }
  }
};

// Long sums are sums of short ones: of 16 windows, of 8 rows, of these.
template <bool kMasked, class T, class I>
void chosen_sums_at(const PoolTables& t, Range rows, const T* dy, const I* index, const T* y, const T* x,
                    const float* mean, float* sums, Index stride, float* block) {
  constexpr Index kWindows = 16, kRows = 8;
  const Index wo = t.g.wo(), c = t.g.c;
  std::fill_n(sums, c, 0.0F);
  std::fill_n(sums + stride, c, 0.0F);
  for (Index first = rows.first; first < rows.last; first += kRows) {
    std::fill_n(block, 2 * c, 0.0F);
    for (Index row = first; row < std::min(rows.last, first + kRows); ++row) {
      const WindowRow windows(t, row);
      const Index at = row * wo * c;
      for (Index ow = 0; ow < wo; ow += kWindows) {
        for_channels(ChosenSums<kMasked, T, I>{t.g, windows, ow, std::min(wo, ow + kWindows), dy + at,
                                               kMasked ? y + at : nullptr, x, index + at, mean, block},
                     c);
      }
    }
    for (Index i = 0; i < c; ++i) {
      sums[i] += block[i];
      sums[stride + i] += block[c + i];
    }
  }
}

template <class T, class I>
void chosen_sums_of(const PoolTables& t, Range rows, const T* dy, const void* index, const T* y, const T* x,
                    const float* mean, float* sums, Index stride, float* block) {
  const auto* places = static_cast<const I*>(index);
  y != nullptr ? chosen_sums_at<true>(t, rows, dy, places, y, x, mean, sums, stride, block)
               : chosen_sums_at<false>(t, rows, dy, places, y, x, mean, sums, stride, block);
}

template <class T>
void chosen_sums(const PoolTables& t, Range rows, const T* dy, const void* index, const T* y, const T* x,
                 const float* mean, float* sums, Index stride, float* block) {
  byte_index(t.g) ? chosen_sums_of<T, std::uint8_t>(t, rows, dy, index, y, x, mean, sums, stride, block)
                  : chosen_sums_of<T, std::int32_t>(t, rows, dy, index, y, x, mean, sums, stride, block);
}

/// One pixel of dx gathers from the windows that cover it, in the order of their numbers.
template <bool kMasked, class T, class I>
struct MaxPixel {
  const T* dy;  // the first window
  const I* index;
  const T* y;
  Index rows, columns, row_stride, pixel_stride;
  std::int32_t tap, tap_down,
      tap_right;  // the pixel's place in the first window, less in those below or right
  T* dx;
  const T* ahead;

  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index channel) const {
    V sum[K];
    for (int k = 0; k < K; ++k) {
      sum[k] = hn::Zero(D());
      if (ahead != nullptr) __builtin_prefetch(ahead + channel + k * lanes());
    }
    for (Index row = 0; row < rows; ++row) {
      Index window = row * row_stride + channel;
      std::int32_t place = tap - static_cast<std::int32_t>(row) * tap_down;
      for (Index column = 0; column < columns; ++column, place -= tap_right, window += pixel_stride) {
        const VI here = hn::Set(DI(), place);
        for (int k = 0; k < K; ++k) {
          const auto chosen = hn::Eq(load_index(at, index + window + k * lanes()), here);
          V share = at.load(dy + window + k * lanes());
          if constexpr (kMasked) {
            share = hn::IfThenZeroElse(hn::Le(at.load(y + window + k * lanes()), hn::Zero(D())), share);
          }
          sum[k] = hn::Add(sum[k], hn::IfThenElseZero(hn::RebindMask(D(), chosen), share));
        }
      }
    }
    for (int k = 0; k < K; ++k) at.store(sum[k], dx + channel + k * lanes());
  }
};

template <bool kMasked, class T, class I>
void max_gradient_rows(const PoolTables& t, Range rows, const T* dy, const I* index, const T* y, T* dx,
                       const T* ahead) {
  const PoolGeometry& g = t.g;
  const Index ho = g.ho(), wo = g.wo();
  for (Index row = rows.first; row < rows.last; ++row) {
    const Index h = row % g.h;
    const Index image = row / g.h * ho * wo;
    const Range over_h = at(t.covering_rows, h);
    for (Index w = 0; w < g.w; ++w) {
      const Range over_w = at(t.covering_columns, w);
      const Index tap = (h + g.ph - over_h.first * g.sh) * g.kw + w + g.pw - over_w.first * g.sw;
      const Index first = (image + over_h.first * wo + over_w.first) * g.c;
      const Index at_dx = ((row - rows.first) * g.w + w) * g.c;
      const MaxPixel<kMasked, T, I> pixel = {.dy = dy + first,
                                             .index = index + first,
                                             .y = kMasked ? y + first : nullptr,
                                             .rows = over_h.size(),
                                             .columns = over_w.size(),
                                             .row_stride = wo * g.c,
                                             .pixel_stride = g.c,
                                             .tap = static_cast<std::int32_t>(tap),
                                             .tap_down = static_cast<std::int32_t>(g.sh * g.kw),
                                             .tap_right = static_cast<std::int32_t>(g.sw),
                                             .dx = dx + at_dx,
                                             .ahead = ahead != nullptr ? ahead + at_dx : nullptr};
      for_channels(pixel, g.c);
    }
  }
}

template <class I, class T>
void max_gradient_rows(const PoolTables& t, Range rows, const T* dy, const void* index, const T* y, T* dx,
                       const T* ahead) {
  const auto* places = static_cast<const I*>(index);
  if (y != nullptr) return max_gradient_rows<true>(t, rows, dy, places, y, dx, ahead);
  max_gradient_rows<false>(t, rows, dy, places, y, dx, ahead);
}

template <class T>
void max_gradient(const PoolTables& t, Range rows, const T* dy, const void* index, const T* y, T* dx,
                  const T* ahead) {
  if (byte_index(t.g)) return max_gradient_rows<std::uint8_t>(t, rows, dy, index, y, dx, ahead);
  max_gradient_rows<std::int32_t>(t, rows, dy, index, y, dx, ahead);
}

template <class T>
constexpr MaxPoolFunctions<T> functions() {
  return {&max<T>, &max_gradient<T>, &chosen_sums<T>};
}

}  // namespace

const MaxPoolFunctions<float> kMaxPool = functions<float>();
#if RESNET_BF16_TARGET
const MaxPoolFunctions<BFloat16> kMaxPoolBf16 = functions<BFloat16>();
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels {
template <>
const MaxPoolFunctions<float>& max_pool_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kMaxPool);
}
template <>
const MaxPoolFunctions<BFloat16>& max_pool_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kMaxPoolBf16);
}
}  // namespace resnet::kernels
#endif

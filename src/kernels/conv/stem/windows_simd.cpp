// Between a stem's convolution and its pool: the choice of each window, and the way of its gradient back.
#include <algorithm>
#include <cstdint>

#include "kernels/conv/stem/stem_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/stem/windows_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/matmul/tiles.h"
#include "kernels/pool/index_lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using resnet::kernels::HWY_NAMESPACE::D;
using resnet::kernels::HWY_NAMESPACE::d;
using resnet::kernels::HWY_NAMESPACE::DI;
using resnet::kernels::HWY_NAMESPACE::kLanes;
using resnet::kernels::HWY_NAMESPACE::kPanel;
using resnet::kernels::HWY_NAMESPACE::kVectors;
using resnet::kernels::HWY_NAMESPACE::Part;
using resnet::kernels::HWY_NAMESPACE::V;
using resnet::kernels::HWY_NAMESPACE::VI;
using resnet::kernels::HWY_NAMESPACE::Whole;
using Index = std::int64_t;

HWY_INLINE const Range& of(const std::vector<Range>& ranges, Index i) {
  return ranges[static_cast<std::size_t>(i)];
}

bool byte_index(const PoolTables& t) {
  return max_pool_index_dtype(t.g) == DType::u8;
}

/// Calls op.run<K>(access, channel) for the channels of a panel, K vectors side by side. What is in scratch
/// may be read and written in whole vectors.
template <class Op>
HWY_INLINE void for_panel(const Op& op, Index channels) {
  if (channels == kPanel) return op.template run<kVectors>(Whole(), 0);
  Index i = 0;
  for (; i + kLanes <= channels; i += kLanes) op.template run<1>(Whole(), i);
  if (i < channels) op.template run<1>(Part(channels - i), i);
}

// ---- the pool's choice

/// Windows that lie side by side, all with the same part inside the map. kZero: gamma may be zero, and then
/// the first y of the window is chosen, or the last that is not finite, which times zero is NaN. kSide: rows
/// and columns of the window, or 0: as the numbers say.
template <int kSide, bool kZero, bool kIndex, class T, class I>
struct ChosenWindows {
  const float* y;  // the first pixel of the first window
  Index windows, step;
  Index rows, columns, row_stride;
  std::int32_t first_tap, taps_per_row;
  const float* gamma;
  Index out_step;
  T* chosen;
  I* index;

  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index channel) const {
    V flip[K];
    hn::Mask<D> zero[K];
    for (int k = 0; k < K; ++k) {
      const V g = at.load(gamma + channel + k * kLanes);
      flip[k] = hn::IfThenElseZero(hn::Lt(g, hn::Zero(d)), hn::Set(d, -0.0F));
      zero[k] = hn::Not(hn::Or(hn::Lt(g, hn::Zero(d)), hn::Gt(g, hn::Zero(d))));
    }
    for (Index i = 0; i < windows; ++i) {
      const float* first = y + i * step + channel;
      V key[K];
      VI place[K];
      for (int k = 0; k < K; ++k) {
        key[k] = hn::Xor(hn::LoadU(d, first + k * kLanes), flip[k]);
        place[k] = hn::Set(DI(), first_tap);
      }
      const Index all_rows = kSide != 0 ? kSide : rows, all_columns = kSide != 0 ? kSide : columns;
#pragma GCC unroll 3
      for (Index r = 0; r < all_rows; ++r) {
        const float* pixel = first + r * row_stride;
        VI here = hn::Set(DI(), first_tap + static_cast<std::int32_t>(r) * taps_per_row);
#pragma GCC unroll 3
        for (Index c = 0; c < all_columns; ++c, pixel += kPanel) {
          for (int k = 0; k < K; ++k) {
            const V v = hn::Xor(hn::LoadU(d, pixel + k * kLanes), flip[k]);
            auto larger = hn::Or(hn::Gt(v, key[k]), hn::IsNaN(v));
            if constexpr (kZero)
              larger = hn::Or(hn::AndNot(zero[k], larger), hn::And(zero[k], hn::Not(hn::IsFinite(v))));
            key[k] = hn::IfThenElse(larger, v, key[k]);
            if constexpr (kIndex) place[k] = hn::IfThenElse(hn::RebindMask(DI(), larger), here, place[k]);
          }
          here = hn::Add(here, hn::Set(DI(), 1));
        }
      }
      const Index out = i * out_step + channel;
      for (int k = 0; k < K; ++k) {
        at.store(hn::Xor(key[k], flip[k]), chosen + out + k * kLanes);
        if constexpr (kIndex) store_index(at, place[k], index + out + k * kLanes);
      }
    }
  }
};

template <bool kZero, bool kIndex, class T, class I>
void choose_places(const ChooseArgs<T>& a) {
  const PoolTables& t = *a.pool;
  const PoolGeometry& g = t.g;
  auto* index = static_cast<I*>(a.index);
  for (Index oh = a.windows.first; oh < a.windows.last; ++oh) {
    const Range& inside = of(t.window_rows, oh);
    for (Index ow = 0; ow < g.wo();) {
      const Range& columns = of(t.window_columns, ow);
      Index end = ow + 1;
      while (end < g.wo() && of(t.window_columns, end).size() == columns.size() &&
             of(t.window_columns, end).first == columns.first + (end - ow) * g.sw)
        ++end;
      const Index out = a.at + (oh * g.wo() + ow) * g.c;
      const Index tap = (inside.first - (oh * g.sh - g.ph)) * g.kw + columns.first - (ow * g.sw - g.pw);
      const ChosenWindows<0, kZero, kIndex, T, I> some = {
          .y = a.y + ((inside.first - a.y_row) * g.w + columns.first) * kPanel,
          .windows = end - ow,
          .step = g.sw * kPanel,
          .rows = inside.size(),
          .columns = columns.size(),
          .row_stride = g.w * kPanel,
          .first_tap = static_cast<std::int32_t>(tap),
          .taps_per_row = static_cast<std::int32_t>(g.kw),
          .gamma = a.gamma,
          .out_step = g.c,
          .chosen = a.chosen + out,
          .index = kIndex ? index + out : nullptr};
      if (!kZero && inside.size() == 3 && columns.size() == 3) {
        for_panel(ChosenWindows<3, kZero, kIndex, T, I>{some.y, some.windows, some.step, 3, 3,
                                                        some.row_stride, some.first_tap, some.taps_per_row,
                                                        some.gamma, some.out_step, some.chosen, some.index},
                  a.channels);
      } else {
        for_panel(some, a.channels);
      }
      ow = end;
    }
  }
}

template <bool kZero, class T>
void choose_of(const ChooseArgs<T>& a) {
  if (a.index == nullptr) return choose_places<kZero, false, T, std::uint8_t>(a);
  byte_index(*a.pool) ? choose_places<kZero, true, T, std::uint8_t>(a)
                      : choose_places<kZero, true, T, std::int32_t>(a);
}

template <class T>
void choose(const ChooseArgs<T>& a) {
  const bool zero = std::any_of(a.gamma, a.gamma + a.channels, [](float g) { return !(g > 0 || g < 0); });
  zero ? choose_of<true>(a) : choose_of<false>(a);
}

// ---- the pool's gradient

template <class T, class I>
struct LoadWindow {
  const WindowArgs<T>& a;
  const I* index;
  Index from, to;  // of the window and panel
  template <int K, class Access>
  HWY_INLINE void run(const Access& at, Index channel) const {
    for (int k = 0; k < K; ++k) {
      const Index in = from + channel + k * kLanes, out = to + channel + k * kLanes;
      VI place = load_index(at, index + in);
      if (a.z != nullptr) {
        const auto shut = hn::Le(at.load(a.z + in), hn::Zero(d));
        place = hn::IfThenElse(hn::RebindMask(DI(), shut), hn::Set(DI(), -1), place);
      }
      hn::StoreU(place, DI(), a.place + out);
      hn::StoreU(at.load(a.dz + in), d, a.gradient + out);
    }
  }
};

template <class T, class I>
void load_windows(const WindowArgs<T>& a) {
  const Index wo = a.pool->g.wo(), co = a.pool->g.c, count = a.windows.size() * wo;
  const I* index = static_cast<const I*>(a.index);
  Index from = a.at + a.windows.first * wo * co;
  for (Index i = 0; i < count; ++i, from += co) {
    Index to = i * kPanel;
    for (Index first = 0; first < co; first += kPanel, to += count * kPanel)
      for_panel(LoadWindow<T, I>{a, index, from + first, to}, std::min(kPanel, co - first));
  }
}

template <class T>
void windows(const WindowArgs<T>& a) {
  byte_index(*a.pool) ? load_windows<T, std::uint8_t>(a) : load_windows<T, std::int32_t>(a);
}

/// Pixels of a row, a stride apart, whose windows are as many each and one further from pixel to pixel. A
/// pixel gathers from the windows that cover it, in the order of their numbers. kRows, kColumns: how many
/// those are, or 0: as the numbers say.
template <int kRows, int kColumns>
struct SpreadPixels {
  const float* gradient;  // of the first window
  const std::int32_t* place;
  Index pixels, step;
  Index rows, columns, line;
  std::int32_t tap, tap_down, tap_right;  // a pixel's place in its first window, less in those below or right
  float* dy;

  template <int K, class Access>
  HWY_INLINE void run(const Access&, Index channel) const {
    const Index all_rows = kRows != 0 ? kRows : rows, all_columns = kColumns != 0 ? kColumns : columns;
    for (Index i = 0; i < pixels; ++i) {
      V sum[K];
      for (int k = 0; k < K; ++k) sum[k] = hn::Zero(d);
#pragma GCC unroll 2
      for (Index row = 0; row < all_rows; ++row) {
#pragma GCC unroll 2
        for (Index column = 0; column < all_columns; ++column) {
          const Index window = row * line + (i + column) * kPanel + channel;
          const VI here = hn::Set(DI(), tap - static_cast<std::int32_t>(row) * tap_down -
                                            static_cast<std::int32_t>(column) * tap_right);
          for (int k = 0; k < K; ++k) {
            const auto is_here = hn::Eq(hn::LoadU(DI(), place + window + k * kLanes), here);
            const V share = hn::LoadU(d, gradient + window + k * kLanes);
            sum[k] = hn::Add(sum[k], hn::IfThenElseZero(hn::RebindMask(d, is_here), share));
          }
        }
      }
      for (int k = 0; k < K; ++k) hn::StoreU(sum[k], d, dy + i * step + channel + k * kLanes);
    }
  }
};

template <int kRows, int kColumns>
void spread_pixels(const SpreadPixels<0, 0>& p, Index channels) {
  for_panel(SpreadPixels<kRows, kColumns>{p.gradient, p.place, p.pixels, p.step, p.rows, p.columns, p.line,
                                          p.tap, p.tap_down, p.tap_right, p.dy},
            channels);
}

void spread(const SpreadArgs& a) {
  const PoolTables& t = *a.pool;
  const PoolGeometry& g = t.g;
  const Index line = g.wo() * kPanel;
  float* dy = a.dy;
  for (Index row = a.rows.first; row < a.rows.last; ++row, dy += g.w * kPanel) {
    const Range over_h = of(t.covering_rows, row);
    const Index first_line = (over_h.first - a.windows_from) * line;
    const Index tap_line = (row + g.ph - over_h.first * g.sh) * g.kw + g.pw;
    for (Index phase = 0; phase < std::min(g.sw, g.w); ++phase) {
      for (Index w = phase; w < g.w;) {
        const Range over_w = of(t.covering_columns, w);
        Index end = w + g.sw, pixels = 1;
        for (; end < g.w; end += g.sw, ++pixels) {
          const Range& other = of(t.covering_columns, end);
          if (other.size() != over_w.size() || other.first != over_w.first + pixels) break;
        }
        const Index first = first_line + over_w.first * kPanel;
        const SpreadPixels<0, 0> run = {.gradient = a.gradient + first,
                                        .place = a.place + first,
                                        .pixels = pixels,
                                        .step = g.sw * kPanel,
                                        .rows = over_h.size(),
                                        .columns = over_w.size(),
                                        .line = line,
                                        .tap = static_cast<std::int32_t>(tap_line + w - over_w.first * g.sw),
                                        .tap_down = static_cast<std::int32_t>(g.sh * g.kw),
                                        .tap_right = static_cast<std::int32_t>(g.sw),
                                        .dy = dy + w * kPanel};
        if (run.rows == 1 && run.columns == 1) {
          spread_pixels<1, 1>(run, a.channels);
        } else if (run.rows == 1 && run.columns == 2) {
          spread_pixels<1, 2>(run, a.channels);
        } else if (run.rows == 2 && run.columns == 1) {
          spread_pixels<2, 1>(run, a.channels);
        } else if (run.rows == 2 && run.columns == 2) {
          spread_pixels<2, 2>(run, a.channels);
        } else {
          spread_pixels<0, 0>(run, a.channels);
        }
        w = end;
      }
    }
  }
}

#if RESNET_BF16_TARGET
void round_floats(float* x, Index count) {
  for (Index i = 0; i < count; i += kLanes) {
    hn::StoreU(resnet::kernels::HWY_NAMESPACE::from_bf16(
                   resnet::kernels::HWY_NAMESPACE::to_bf16(hn::LoadU(d, x + i))),
               d, x + i);
  }
}
#endif

template <class T>
constexpr WindowFunctions<T> functions() {
  return {.choose = &choose<T>, .windows = &windows<T>, .spread = &spread};
}

}  // namespace

const WindowFunctions<float> kWindows = functions<float>();
#if RESNET_BF16_TARGET
const WindowFunctions<BFloat16> kWindowsBf16 = [] {
  WindowFunctions<BFloat16> result = functions<BFloat16>();
  result.round = &round_floats;
  return result;
}();
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels::conv {
template <>
const WindowFunctions<float>& window_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kWindows);
}
template <>
const WindowFunctions<BFloat16>& window_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kWindowsBf16);
}
}  // namespace resnet::kernels::conv
#endif

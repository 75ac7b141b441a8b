#include "kernels/conv/pooled_simd.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/pooled_simd.cpp"
#include "kernels/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/conv/tiles.h"
#include "kernels/pool/index_lanes.h"
HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv {
namespace HWY_NAMESPACE {
namespace {
using resnet::kernels::HWY_NAMESPACE::DI;
using resnet::kernels::HWY_NAMESPACE::VI;
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
/// the first y of the window is chosen. kSide: rows and columns of the window, or 0: as the numbers say.
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
            auto larger = hn::Gt(v, key[k]);
            if constexpr (kZero) larger = hn::AndNot(zero[k], larger);
            key[k] = kZero ? hn::IfThenElse(larger, v, key[k]) : hn::Max(v, key[k]);
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
        const auto counts = hn::Gt(at.load(a.z + in), hn::Zero(d));
        place = hn::IfThenElse(hn::RebindMask(DI(), counts), place, hn::Set(DI(), -1));
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

// ---- the weight gradient

// R columns of x times N vectors of dy. x is read where it stands: neighbouring columns of different rows of
// the kernel need no packing, and a run has only a few rows of x.
template <class P, int R, int N>
HWY_NOINLINE void accumulate_tile(const RunArgs& a, const Row* columns) {
  V acc[R][N];
  clear(acc);
  for (Index i = 0; i < a.run_count; ++i) {
    const PixelRun run = a.runs[i];
    const float* in[R];
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) in[r] = a.x + run.in + columns[r].in;
    const float* HWY_RESTRICT dy = a.dy + run.out;
    const Index end = run.count * a.x_step;
    for (Index at = 0; at < end; at += P::kStep * a.x_step, dy += kPanel) {
      V b[N];
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) b[v] = hn::Load(d, dy + v * kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
        const V x = hn::Set(d, in[r][at]);
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) acc[r][v] = P::mul_add(x, b[v], acc[r][v]);
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      float* HWY_RESTRICT sum = a.sums + columns[r].out + v * kLanes;
      hn::Store(hn::Add(hn::Load(d, sum), acc[r][v]), d, sum);
    }
  }
}

// A tile of as many rows as `rows` says, at most R; and likewise N vectors.
template <class P, int R, int N>
void accumulate_rows(const RunArgs& a, const Row* columns, Index rows) {
  if constexpr (R > 1) {
    if (rows < R) return accumulate_rows<P, R - 1, N>(a, columns, rows);
  }
  accumulate_tile<P, R, N>(a, columns);
}

template <class P, int N>
void accumulate_columns(const RunArgs& a, Index vectors) {
  if constexpr (N > 1) {
    if (vectors < N) return accumulate_columns<P, N - 1>(a, vectors);
  }
  const Tiling tiling(a.column_count);
  for (Index t = 0; t < tiling.number(); ++t)
    accumulate_rows<P, kTileRows, N>(a, a.columns + tiling.begin(t), tiling.size(t));
}

#if RESNET_BF16_TARGET
using resnet::kernels::HWY_NAMESPACE::pairs_of;

// A run's pixels of dy to words of two pixels, an odd last one beside zeros, where the run begins.
void pair_runs(const RunArgs& a, Index vectors) {
  for (Index i = 0; i < a.run_count; ++i) {
    float* from = a.dy + a.runs[i].out;
    float* to = from;
    for (Index k = 0; k < a.runs[i].count; k += 2, from += 2 * kPanel, to += kPanel) {
      for (Index v = 0; v < vectors * kLanes; v += kLanes) {
        const V second = k + 1 < a.runs[i].count ? hn::Load(d, from + kPanel + v) : hn::Zero(d);
        hn::Store(pairs_of(hn::Load(d, from + v), second), d, to + v);
      }
    }
  }
}

// Words of each number and that `step` further on.
void pair_pixels(const float* HWY_RESTRICT x, Index count, Index step, float* HWY_RESTRICT words) {
  for (Index i = 0; i < count; i += kLanes) {
    const Index first = std::min(kLanes, count - i), second = std::clamp<Index>(count - step - i, 0, kLanes);
    Part(first).store(pairs_of(Part(first).load(x + i), Part(second).load(x + i + step)), words + i);
  }
}
#endif

template <class P>
void accumulate(const RunArgs& a) {
  const Index vectors = (a.channels + kLanes - 1) / kLanes;
#if RESNET_BF16_TARGET
  if constexpr (P::kStep == 2) pair_runs(a, vectors);
#endif
  accumulate_columns<P, kVectors>(a, vectors);
}

// ---- sums of products of x with itself

// A tile: 12 sums, and 3 + 1 registers. The rows of few channels make vectors, but not many.
constexpr int kGramRows = 4, kGramVectors = 3;

// Of a word of two pixels the first alone.
HWY_INLINE float first_pixel(float word) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(word) & 0xFFFFU);
}

template <class P, int R, int N>
HWY_NOINLINE void gram_tile(const GramArgs& a, Index first_left, Index first_right) {
  V acc[R][N];
  clear(acc);
  const float* left[R];
  const float* right[N];
  for (int r = 0; r < R; ++r) left[r] = a.left[first_left + r];
  for (int v = 0; v < N; ++v) right[v] = a.right[first_right + v];
  const auto add = [&](Index at, const auto& word) HWY_ATTR {
    V b[N];
#pragma GCC unroll 3
    for (int v = 0; v < N; ++v) b[v] = hn::LoadU(d, right[v] + at);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const V x = hn::Set(d, word(left[r][at]));
#pragma GCC unroll 3
      for (int v = 0; v < N; ++v) acc[r][v] = P::mul_add(x, b[v], acc[r][v]);
    }
  };
  const Index odd = a.pixels % P::kStep, end = (a.pixels - odd) * a.step;
  for (Index at = 0; at < end; at += P::kStep * a.step) add(at, [](float word) { return word; });
  if (odd != 0) add(end, &first_pixel);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < N; ++v) {
      float* HWY_RESTRICT sum = a.sums + (first_left + r) * a.sums_stride + (first_right + v) * kLanes;
      hn::StoreU(hn::Add(hn::LoadU(d, sum), acc[r][v]), d, sum);
    }
  }
}

template <class P, int R, int N>
void gram_vectors(const GramArgs& a, Index left, Index right, Index vectors) {
  if constexpr (N > 1) {
    if (vectors < N) return gram_vectors<P, R, N - 1>(a, left, right, vectors);
  }
  gram_tile<P, R, N>(a, left, right);
}

template <class P, int R>
void gram_rows(const GramArgs& a, Index left, Index rows) {
  if constexpr (R > 1) {
    if (rows < R) return gram_rows<P, R - 1>(a, left, rows);
  }
  const Index tiles = (a.right_count + kGramVectors - 1) / kGramVectors;
  for (Index t = 0; t < tiles; ++t) {
    const Index first = a.right_count * t / tiles;
    gram_vectors<P, R, kGramVectors>(a, left, first, a.right_count * (t + 1) / tiles - first);
  }
}

template <class P>
void gram(const GramArgs& a) {
  const Index tiles = (a.left_count + kGramRows - 1) / kGramRows;
  for (Index t = 0; t < tiles; ++t) {
    const Index first = a.left_count * t / tiles;
    gram_rows<P, kGramRows>(a, first, a.left_count * (t + 1) / tiles - first);
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

// dy of the runs, 12 KiB with AVX2 and 24 with AVX-512, stays in the first level while the tiles pass by.
constexpr Index kRunPixels = HWY_TARGET == HWY_AVX2 ? 192 : 96;

template <class T, class P>
constexpr PooledFunctions<T> functions() {
  return {.run_pixels = kRunPixels,
          .choose = &choose<T>,
          .windows = &windows<T>,
          .spread = &spread,
          .accumulate = &accumulate<P>,
          .gram = &gram<P>};
}

}  // namespace

const PooledFunctions<float> kPooled = functions<float, Floats>();
#if RESNET_BF16_TARGET
const PooledFunctions<BFloat16> kPooledBf16 = [] {
  PooledFunctions<BFloat16> result = functions<BFloat16, Pairs>();
  result.pair = &pair_pixels;
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
const PooledFunctions<float>& pooled_functions<float>(Isa isa) {
  return RESNET_FOR_ISA(isa, kPooled);
}
template <>
const PooledFunctions<BFloat16>& pooled_functions<BFloat16>(Isa) {
  return RESNET_FOR_BF16(kPooledBf16);
}
}  // namespace resnet::kernels::conv
#endif

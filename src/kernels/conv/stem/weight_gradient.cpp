// The weight gradient behind a pool, without y. With y = P w + 1 bias^T, P = im2col(x), and scale_dz and
// scale_x, of one element for each output channel, standing for their diagonal matrices,
//     dw = P^T dy = (P^T spread(dz)) scale_dz + (P^T P w + P^T 1 (bias - centre)^T) scale_x
//                   + P^T 1 constant^T.
// P^T P is small and the same for all output channels. A pair of taps multiplies the same pairs of elements
// of x as the pair of taps one stride further down, so P^T P needs only sums over rows of x: of the products
// of each row with each row below it in the same patch.
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "kernels/conv/stem/stem_simd.h"
#include "kernels/conv/stem/strips.h"
#include "kernels/offset.h"

namespace resnet::kernels::conv {
namespace {

using Index = std::int64_t;

// Of dy, all channels: then the windows of a strip, whose gradients and places are half as large, stay in L2
// while its panels pass by.
constexpr Index kStripBytes = 320 << 10;

/// Sums of products of rows of x, of which P^T P and P^T 1 are made. A row of the padded image is row ky of
/// the patches of some rows of y; rows that are so for the same ky form a class and have sums of their own.
class RowProducts {
 public:
  RowProducts(const ConvGeometry& g, Index lanes) : g_(g), lanes_(lanes) {
    std::map<std::vector<bool>, Index> known;
    const Index rows = (g.ho() - 1) * g.sh + g.dh * (g.kh - 1) + 1;
    for (Index row = 0; row < rows; ++row) {
      std::vector<bool> of(static_cast<std::size_t>(g.kh));
      Index first = g.kh;
      for (Index ky = g.kh - 1; ky >= 0; --ky) {
        const Index y = row - ky * g.dh;
        if (y < 0 || y % g.sh != 0 || y / g.sh >= g.ho()) continue;
        of[static_cast<std::size_t>(ky)] = true;
        first = ky;
      }
      const auto [entry, fresh] = known.emplace(of, static_cast<Index>(classes_.size()));
      if (fresh) classes_.push_back({of, first});
      class_of_.push_back(entry->second);
    }
    // Taps of a row that stand side by side in x are read as vectors.
    const Index length = g.dw == 1 ? g.kw * g.ci : g.ci;
    for (Index first = 0; first < g.kw * g.ci; first += length) {
      for (Index i = 0; i < length; i += lanes) {
        const auto vector = static_cast<Index>(vectors_.size());
        vectors_.push_back(first / g.ci * g.dw * g.ci + i);
        for (Index lane = 0; lane < std::min(lanes, length - i); ++lane)
          place_.push_back(vector * lanes + lane);
      }
    }
  }

  Index rows() const noexcept { return static_cast<Index>(class_of_.size()); }
  Index lefts() const noexcept { return g_.kw * g_.ci + 1; }  // the last is ones
  Index rights() const noexcept { return g_.kh * static_cast<Index>(vectors_.size()); }
  Index floats() const noexcept { return static_cast<Index>(classes_.size()) * class_floats(); }

  /// Adds the products of a row of the padded image, which stands at `x` in lines of `line` floats.
  /// `pointers`: working memory for lefts() + rights().
  template <class T>
  void add(const StemProductFunctions<T>& f, Index row, const float* x, Index line, const float* ones,
           const float** pointers, float* sums) const noexcept {
    const Index which = class_of_[static_cast<std::size_t>(row)];
    const Index first = classes_[static_cast<std::size_t>(which)].first;
    if (first == g_.kh) return;
    const float** left = pointers;
    for (Index kx = 0; kx < g_.kw; ++kx) {
      for (Index c = 0; c < g_.ci; ++c) *left++ = x + kx * g_.dw * g_.ci + c;
    }
    *left++ = ones;
    const float** right = left;
    for (Index down = 0; down < g_.kh - first; ++down) {
      for (const Index offset : vectors_) *right++ = x + down * g_.dh * line + offset;
    }
    f.gram({.left = pointers,
            .left_count = lefts(),
            .right = left,
            .right_count = right - left,
            .pixels = g_.wo(),
            .step = g_.sw * g_.ci,
            .sums = sums + which * class_floats(),
            .sums_stride = rights() * lanes_});
  }

  /// An element of P^T P, or with `left` = lefts() - 1 of P^T 1: the products of number `left` of a row with
  /// number `right` of the row `down` below it, where the upper is row ky of a patch.
  double sum(const double* sums, Index ky, Index down, Index left, Index right) const noexcept {
    const Index at = (left * rights() + down * static_cast<Index>(vectors_.size())) * lanes_ +
                     place_[static_cast<std::size_t>(right)];
    double sum = 0;
    for (const Class& c : classes_) {
      if (c.of[static_cast<std::size_t>(ky)]) sum += sums[at];
      sums += class_floats();
    }
    return sum;
  }

 private:
  struct Class {
    std::vector<bool> of;  // [ky]
    Index first;           // ky, or kh: no patch has these rows
  };
  Index class_floats() const noexcept { return lefts() * rights() * lanes_; }

  ConvGeometry g_;
  Index lanes_;
  std::vector<Class> classes_;
  std::vector<Index> class_of_;  // [row]
  std::vector<Index> vectors_,
      place_;  // offsets in x; of each tap and channel of a row, lanes from the first
};

/// Phase 0 sums over the images, in a fixed number of parts; phase 1 sums the parts, in double; phase 2 makes
/// dw, a line of it a task.
template <class X, class Y>
class ConvPoolWeightGradient final : public PooledConv<X> {
 public:
  ConvPoolWeightGradient(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa)
      : PooledConv<X>(conv, pool, isa, cut_strips(pool, conv.co, kStripBytes)),
        windows_(window_functions<Y>(isa)),
        f_products_(stem_product_functions<Y>(isa)),
        columns_(columns_of(padded_, f_)),
        products_(conv, f_.lanes),
        parts_(std::min(kEnoughPooledTasks, this->strips())) {
    list_runs();
    parts_at_ = workspace_.add<float>(parts_ * part_floats());
    totals_ = workspace_.add<double>(part_floats());
    Index windows = 0;
    for (const PoolStrip& s : this->strips_) windows = std::max(windows, windows_over(s).size());
    const Index window_floats = this->panels() * windows * pool.wo() * f_.columns;
    dy_ = scratch_.template add<float>(piece_rows_ * pool.w * f_.columns);
    gradient_ = scratch_.template add<float>(window_floats);
    place_ = scratch_.template add<std::int32_t>(window_floats);
    ones_ = scratch_.template add<float>(padded_.w * padded_.ci);
    words_ = scratch_.template add<float>(f_products_.pair != nullptr ? this->x_floats() : 0);
    pointers_ = scratch_.template add<const float*>(products_.lefts() + products_.rights());
    line_ = scratch_.template add<double>(conv.co);
  }

  std::string_view name() const noexcept override {
    if (f_products_.pair != nullptr) return "conv_pool_weight_gradient/runs6x64_bf16";
    return f_.lanes == 8 ? "conv_pool_weight_gradient/runs6x16" : "conv_pool_weight_gradient/runs6x64";
  }
  Index workspace_bytes() const noexcept override { return workspace_.bytes(); }
  int phases() const noexcept override { return 3; }
  Index tasks(int phase) const noexcept override {
    return phase == 0 ? parts_ : phase == 1 ? ceil_div(part_floats(), kSlice) : taps();
  }
  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 0) return sum_part(call, task);
    phase == 1 ? sum_parts(call, task) : make_line(call, task);
  }

 private:
  using PooledConv<X>::g_;
  using PooledConv<X>::pool_;
  using PooledConv<X>::f_;
  using PooledConv<X>::padded_;
  using PooledConv<X>::scratch_;

  enum Operand : std::uint8_t { kX, kW, kBias, kDz, kIndex, kZ, kTable, kDw };
  enum Table : std::uint8_t { kCentre, kScaleDz, kScaleX, kConstant };

  static constexpr Index kSlice = 512;                                             // sums of a task
  static constexpr float kOnes = std::bit_cast<float>(std::uint32_t{0x3F803F80});  // a word of two bf16

  // In the workspace, first of each part, then in double of all: P^T spread(dz), [panel][column of P][column
  // of the panel], and the products.
  Index taps() const noexcept { return static_cast<Index>(columns_.size()); }
  Index spread_floats() const noexcept { return this->panels() * taps() * f_.columns; }
  Index part_floats() const noexcept { return ceil_div(spread_floats() + products_.floats(), 16) * 16; }
  float* sums(const Call& call, Index part) const noexcept {
    return piece<float>(call.workspace, parts_at_) + part * part_floats();
  }

  double* totals(const Call& call) const noexcept { return piece<double>(call.workspace, totals_); }

  /// Columns of the patch matrix: where they stand from a pixel's first tap, and in a panel of sums.
  static std::vector<Row> columns_of(const ConvGeometry& padded, const MatmulFunctions& f) {
    const Index all = padded.kh * padded.kw * padded.ci;
    return make_strip(forward_problem(padded), {.columns = all, .rows = 0, .column_stride = f.columns}, 1, 0,
                      1)
        .front()
        .row_sets.front()
        .columns;
  }

  /// Runs of the pixels of a piece: of as many rows as stay in L1, or parts of one.
  void list_runs() {
    runs_of_row_ = ceil_div(pool_.g.w, f_products_.run_pixels);
    piece_rows_ = std::max<Index>(1, f_products_.run_pixels / pool_.g.w);
    for (Index y = 0; y < piece_rows_; ++y) {
      for (Index run = 0; run < runs_of_row_; ++run) {
        const Index begin = pool_.g.w * run / runs_of_row_, end = pool_.g.w * (run + 1) / runs_of_row_;
        runs_.push_back({narrow((y * g_.sh * padded_.w + begin * g_.sw) * g_.ci),
                         narrow((y * pool_.g.w + begin) * f_.columns), narrow(end - begin)});
      }
    }
  }

  /// Rows of the windows over the rows that count in a strip.
  Range windows_over(const PoolStrip& s) const noexcept {
    Range windows = {pool_.g.ho(), 0};
    for (Index row = s.begin; row < s.end; ++row) {
      const Range& over = pool_.covering_rows[static_cast<std::size_t>(row)];
      if (over.size() == 0) continue;
      windows = {std::min(windows.first, over.first), std::max(windows.last, over.last)};
    }
    return windows.size() < 0 ? Range{} : windows;
  }

  void sum_part(const Call& call, Index part) const noexcept {
    std::fill_n(sums(call, part), part_floats(), 0.0F);
    std::fill_n(piece<float>(call.scratch, ones_), padded_.w * padded_.ci,
                f_products_.pair != nullptr ? kOnes : 1.0F);
    const Index end = this->strips() * (part + 1) / parts_;
    for (Index number = this->strips() * part / parts_; number < end; ++number) {
      if (this->strip(number).begin == this->strip(number).end) continue;
      const float* x = load_words(call, number);
      sum_spread(call, number, x, sums(call, part));
      sum_products(call, number, x, sums(call, part) + spread_floats());
    }
  }

  const float* load_words(const Call& call, Index number) const noexcept {
    const float* x = this->template load_x<float>(call, number);
    if (f_products_.pair == nullptr) return x;
    auto* words = piece<float>(call.scratch, words_);
    f_products_.pair(x, this->x_floats(), g_.sw * g_.ci, words);
    return words;
  }

  void sum_spread(const Call& call, Index number, const float* x, float* to) const noexcept {
    const PoolStrip& strip = this->strip(number);
    const Range windows = windows_over(strip);
    auto* gradient = piece<float>(call.scratch, gradient_);
    auto* place = piece<std::int32_t>(call.scratch, place_);
    auto* dy = piece<float>(call.scratch, dy_);
    windows_.windows({.pool = &pool_,
                      .windows = windows,
                      .at = this->pooled_at(number),
                      .dz = call.operand<const Y>(kDz),
                      .index = call.operand<const void>(kIndex),
                      .z = call.operand<const Y>(kZ),
                      .gradient = gradient,
                      .place = place});
    const Index panel_windows = windows.size() * pool_.g.wo() * f_.columns;
    for (Index panel = 0; panel < this->panels(); ++panel, to += taps() * f_.columns) {
      for (Index row = strip.begin; row < strip.end; row += piece_rows_) {
        const Index end = std::min(strip.end, row + piece_rows_);
        windows_.spread({.pool = &pool_,
                         .rows = {row, end},
                         .windows_from = windows.first,
                         .gradient = gradient + panel * panel_windows,
                         .place = place + panel * panel_windows,
                         .channels = this->channels(panel),
                         .dy = dy});
        const Index runs = (end - row) * runs_of_row_, together = runs_of_row_ > 1 ? 1 : runs;
        for (Index first = 0; first < runs; first += together) {
          f_products_.accumulate({.x = x + (row - strip.begin) * g_.sh * padded_.w * padded_.ci,
                                  .x_step = g_.sw * g_.ci,
                                  .dy = dy,
                                  .runs = runs_.data() + first,
                                  .run_count = together,
                                  .columns = columns_.data(),
                                  .column_count = taps(),
                                  .channels = this->channels(panel),
                                  .sums = to});
        }
      }
    }
  }

  // A strip has the rows of x from its first to the next strip's, the last all that are left.
  void sum_products(const Call& call, Index number, const float* x, float* to) const noexcept {
    const Index begin = this->strip(number).begin * g_.sh;
    const Index end =
        this->strip(number).end == pool_.g.h ? products_.rows() : this->strip(number).end * g_.sh;
    const Index line = padded_.w * padded_.ci;
    for (Index row = begin; row < end; ++row) {
      products_.add(f_products_, row, x + (row - begin) * line, line, piece<const float>(call.scratch, ones_),
                    piece<const float*>(call.scratch, pointers_), to);
    }
  }

  void sum_parts(const Call& call, Index slice) const noexcept {
    const Index begin = slice * kSlice, end = std::min(part_floats(), begin + kSlice);
    double* to = totals(call);
    std::fill(to + begin, to + end, 0.0);
    for (Index part = 0; part < parts_; ++part) {
      const float* from = sums(call, part);
      for (Index i = begin; i < end; ++i) to[i] += double{from[i]};
    }
  }

  void make_line(const Call& call, Index tap) const noexcept {
    const Index numbers = g_.kw * g_.ci, ky = tap / numbers, number = tap % numbers;
    const double* of_spread = totals(call);
    const double* products = of_spread + spread_floats();
    const double of_ones = products_.sum(products, ky, 0, numbers, number);
    const bool rounds = f_products_.pair != nullptr && pairs_rows(g_);  // w, as the forward pass did
    auto* of_y = piece<double>(call.scratch, line_);                    // of P^T P w
    std::fill_n(of_y, g_.co, 0.0);
    for (Index other = 0; other < taps(); ++other) {
      const Index other_ky = other / numbers, other_number = other % numbers;
      const double product = ky <= other_ky
                                 ? products_.sum(products, ky, other_ky - ky, number, other_number)
                                 : products_.sum(products, other_ky, ky - other_ky, other_number, number);
      const float* w = call.operand<const float>(kW) + other * g_.co;
      for (Index c = 0; c < g_.co; ++c)
        of_y[c] += product * double{rounds ? static_cast<float>(BFloat16(w[c])) : w[c]};
    }
    const auto* bias = call.operand<const float>(kBias);
    const auto table = [&](Table which, Index c) {
      return double{call.operand<const float>(kTable)[which * g_.co + c]};
    };
    float* dw = call.operand<float>(kDw) + tap * g_.co;
    for (Index c = 0; c < g_.co; ++c) {
      const double off = (bias != nullptr ? double{bias[c]} : 0.0) - table(kCentre, c);
      const double spread = of_spread[(c / f_.columns * taps() + tap) * f_.columns + c % f_.columns];
      dw[c] = static_cast<float>(spread * table(kScaleDz, c) + (of_y[c] + of_ones * off) * table(kScaleX, c) +
                                 of_ones * table(kConstant, c));
    }
  }

  const WindowFunctions<Y>& windows_;
  const StemProductFunctions<Y>& f_products_;
  std::vector<Row> columns_;
  RowProducts products_;
  Index parts_;
  std::vector<PixelRun> runs_;
  Index runs_of_row_ = 1, piece_rows_ = 1;
  Layout workspace_;
  Index parts_at_ = 0, totals_ = 0;
  Index dy_ = 0, gradient_ = 0, place_ = 0, ones_ = 0, words_ = 0, pointers_ = 0, line_ = 0;  // in scratch
};

}  // namespace

std::unique_ptr<Kernel> make_stem_weight_gradient(const ConvGeometry& g, const PoolGeometry& pool, Isa isa,
                                                  ConvStorage storage) {
  return make_pooled<ConvPoolWeightGradient>(g, pool, isa, storage);
}

}  // namespace resnet::kernels::conv

#include "kernels/conv/pooled.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/channel_grid.h"
#include "kernels/conv/packed_product.h"
#include "kernels/conv/pooled_simd.h"
#include "kernels/conv/weight_sums.h"
#include "kernels/norm/moments.h"
#include "kernels/norm/norm_simd.h"
#include "kernels/storage.h"

namespace resnet::kernels {
namespace conv {
namespace {

using Index = std::int64_t;

// A panel of a strip of y stays in the second level beside the strip's x and, in the backward pass, its
// windows: 160 KiB of 512 with AVX2, of 1024 with AVX-512, whose panels are four times as wide.
constexpr Index kStripBytes = 160 << 10;
constexpr Index kWideStripBytes = 320 << 10;
// Strips of the forward pass, parts of the weight gradient: enough for a balance between threads.
constexpr Index kEnoughTasks = 32;
// Products of an element of y, which its memory traffic would take: with AVX2 a byte costs as much as six
// (choose.cpp), and y and dy are 28 bytes: they are stored, which reads the line first or has just done so,
// and loaded for statistics and pool, for the gradient's sums, for its application and for dw.
constexpr Index kMostProducts = 160;

bool pools(const ConvGeometry& conv, const PoolGeometry& pool) {
  return conv.groups == 1 && pool.n == conv.n && pool.c == conv.co && pool.h == conv.ho() &&
         pool.w == conv.wo();
}

/// A strip of an image: rows of y, and the rows of the pool that are made of them.
struct PoolStrip {
  Index begin = 0, end = 0;  // rows of y that count here
  Index seen_end = 0;  // those from `begin` to here are made for its windows: the last again in the next
  Range windows;       // rows of the pool
};

// Rows of a window from the first of the next window on.
Index overlap(const PoolGeometry& pool) {
  return std::max<Index>(0, pool.kh - pool.sh);
}

// The most rows of windows whose strip fits, or one.
Index fitting_windows(const PoolGeometry& pool, Index panel_columns) {
  const Index bytes = panel_columns > 16 ? kWideStripBytes : kStripBytes;
  const Index rows = bytes / (pool.w * panel_columns * Index{sizeof(float)});
  return std::max<Index>(1, (rows - overlap(pool)) / pool.sh);
}

/// Strips of as many rows of windows each. They begin where their first window does; those of few images are
/// shorter, but not so short that more than a quarter is made twice.
std::vector<PoolStrip> cut(const PoolGeometry& pool, Index panel_columns) {
  const Index fitting = fitting_windows(pool, panel_columns);
  const Index least = std::min(fitting, ceil_div(std::max<Index>(1, 4 * overlap(pool)), pool.sh));
  const Index most = std::clamp(pool.n * pool.ho() / kEnoughTasks, least, fitting);
  const Index windows = ceil_div(pool.ho(), ceil_div(pool.ho(), most));
  const auto first_row = [&](Index window) {
    if (window == 0) return Index{0};
    return window < pool.ho() ? std::max<Index>(0, window * pool.sh - pool.ph) : pool.h;
  };
  std::vector<PoolStrip> strips;
  for (Index first = 0; first < pool.ho(); first += windows) {
    const Index last = std::min(first + windows, pool.ho());
    const Index seen = std::min(pool.h, (last - 1) * pool.sh - pool.ph + pool.kh);
    strips.push_back({first_row(first), first_row(last), std::max(seen, first_row(last)), {first, last}});
  }
  return strips;
}

/// The convolution of rows of x that stand in scratch with their padding, so that every tap meets a number
/// and one table serves all strips.
ConvGeometry padded(ConvGeometry g, Index rows) {
  g.n = 1;
  g.h = (rows - 1) * g.sh + g.dh * (g.kh - 1) + 1;
  g.w += 2 * g.pw;
  g.ph = g.pw = 0;
  return g;
}

/// A piece of scratch memory after the other, each in lines of its own.
class Layout {
 public:
  template <class T>
  Index add(Index count) {
    return std::exchange(end_, end_ + ceil_div(count * Index{sizeof(T)}, 64) * 64);
  }
  Index bytes() const { return end_; }

 private:
  Index end_ = 0;
};

template <class T>
T* piece(const Call& call, Index at) noexcept {
  return reinterpret_cast<T*>(call.scratch + at);
}

/// What the two kernels share: the strips, and in scratch x of one and a panel of its y. Phase 0 packs the
/// weights. x is of type X, what has the pooled shape of Y.
template <class X, class Y>
class PooledConv : public Kernel {
 public:
  PooledConv(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa)
      : g_(conv),
        pool_(pool),
        f_(conv_functions<float>(isa)),
        pooled_(pooled_functions<Y>(isa)),
        strips_(cut(pool, f_.columns)),
        padded_(padded(conv, most_rows())),
        product_(padded_, ConvPass::forward, isa, false) {
    PatchProblem to_panel = product_.problem();
    to_panel.out_c = f_.columns;
    const Cut cut = {.columns = product_.chunk_columns(), .rows = 0, .column_stride = 0};
    for (const PoolStrip& s : strips_) {
      made_.push_back(make_strip(to_panel, cut, 1, 0, s.seen_end - s.begin));
      counted_.push_back(make_strip(to_panel, cut, 1, 0, std::max<Index>(1, s.end - s.begin)));
    }
    x_ = scratch_.add<float>(padded_.h * padded_.w * padded_.ci);
    y_ = scratch_.add<float>(most_rows() * row());
  }
  PooledConv(const PooledConv&) = delete;

  Index scratch_bytes() const noexcept override { return scratch_.bytes(); }

 protected:
  /// Strips of all images; a number's strip and image.
  Index strips() const noexcept { return g_.n * static_cast<Index>(strips_.size()); }
  std::size_t which(Index number) const noexcept { return static_cast<std::size_t>(number) % strips_.size(); }
  const PoolStrip& strip(Index number) const noexcept { return strips_[which(number)]; }
  Index image(Index number) const noexcept { return number / static_cast<Index>(strips_.size()); }

  Index panels() const noexcept { return product_.panels(); }
  Index channels(Index panel) const noexcept { return std::min(f_.columns, g_.co - panel * f_.columns); }
  Index row() const noexcept { return pool_.g.w * f_.columns; }  // floats of a panel of y
  Index most_rows() const noexcept {
    Index rows = 1;
    for (const PoolStrip& s : strips_) rows = std::max(rows, s.seen_end - s.begin);
    return rows;
  }
  // Where the rows of the pool of an image, and a panel of them, begin.
  Index pooled_at(Index number, Index panel) const noexcept {
    return image(number) * pool_.g.ho() * pool_.g.wo() * g_.co + panel * f_.columns;
  }

  void pack(const Call& call, Index task) const noexcept {
    product_.prepare(nullptr, call.operand<const float>(1), call.operand<const float>(2), call.workspace,
                     task);
  }
  Index packed_bytes() const noexcept { return ceil_div(product_.prepared_bytes(), 64) * 64; }

  /// The x that rows of y are made of.
  const float* load_x(const Call& call, Index number) const noexcept {
    const Index line = g_.w * g_.ci, margin = g_.pw * g_.ci;
    const Index first = strip(number).begin * g_.sh - g_.ph;
    const X* from = call.operand<const X>(0) + image(number) * g_.h * line;
    float* to = piece<float>(call, x_);
    for (Index i = 0; i < padded_.h; ++i) {
      const Index h = first + i;
      if (h < 0 || h >= g_.h) {
        to = std::fill_n(to, line + 2 * margin, 0.0F);
        continue;
      }
      to = std::fill_n(to, margin, 0.0F);
      for (Index j = 0; j < line; ++j) to[j] = static_cast<float>(from[h * line + j]);
      to = std::fill_n(to + line, margin, 0.0F);
    }
    return piece<float>(call, x_);
  }

  /// A panel of a strip's y: all that it makes, or what it counts. As it would be stored, rounded to Y.
  float* make_y(const Call& call, const Strip& rows, Index panel) const noexcept {
    float* y = piece<float>(call, y_);
    product_.multiply({.strip = &rows,
                       .source = piece<float>(call, x_),
                       .prepared = call.workspace,
                       .panel = panel,
                       .out = y});
    const Index pixels = rows.front().groups.front().rows_per_image;
    if (pooled_.round != nullptr) pooled_.round(y, pixels * f_.columns);
    return y;
  }

  ConvGeometry g_;
  PoolTables pool_;
  const ConvFunctions& f_;
  const PooledFunctions<Y>& pooled_;
  std::vector<PoolStrip> strips_;
  ConvGeometry padded_;
  PackedProduct<float, float> product_;
  std::vector<Strip> made_, counted_;  // tables of the strips' rows
  Layout scratch_;

 private:
  Index x_ = 0, y_ = 0;
};

template <class X, class Y>
class ConvPool final : public PooledConv<X, Y> {
 public:
  ConvPool(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa)
      : PooledConv<X, Y>(conv, pool, isa),
        norm_(norm_functions<float>(isa)),
        grid_(conv.n * pool.h * pool.w, f_.columns) {
    shift_ = scratch_.template add<float>(grid_.period());
    sums_ = scratch_.template add<float>(2 * grid_.period());
    block_ = scratch_.template add<float>(2 * grid_.period());
  }

  std::string_view name() const noexcept override {
    return f_.lanes == 8 ? "conv_pool/patch6x16" : "conv_pool/patch6x64";
  }
  Index workspace_bytes() const noexcept override {
    return this->packed_bytes() + line_at(groups(), 0, kShift) * Index{sizeof(float)};
  }
  int phases() const noexcept override { return 3; }
  Index tasks(int phase) const noexcept override {
    return phase == 0 ? product_.prepare_tasks() : phase == 1 ? this->strips() : groups();
  }
  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 0) return this->pack(call, task);
    phase == 1 ? pool_strip(call, task) : merge(call, task);
  }

 private:
  using PooledConv<X, Y>::g_;
  using PooledConv<X, Y>::pool_;
  using PooledConv<X, Y>::f_;
  using PooledConv<X, Y>::product_;
  using PooledConv<X, Y>::scratch_;

  enum Operand : std::uint8_t { kGamma = 3, kChosen, kIndex, kMoments };
  enum Sum : std::uint8_t { kShift, kSum, kSquares, kSums };

  // Behind the weights in the workspace: [group of channels][strip][kSums] lines of a group each.
  static constexpr Index kLine = ChannelGrid::kLanes;
  Index groups() const noexcept { return ceil_div(g_.co, kLine); }
  Index line_at(Index group, Index number, Sum which) const noexcept {
    return ((group * this->strips() + number) * kSums + which) * kLine;
  }
  float* line(const Call& call, Index group, Index number, Sum which) const noexcept {
    return reinterpret_cast<float*>(call.workspace + this->packed_bytes()) + line_at(group, number, which);
  }
  Index counted_pixels(Index number) const noexcept {
    return (this->strip(number).end - this->strip(number).begin) * pool_.g.w;
  }

  void pool_strip(const Call& call, Index number) const noexcept {
    this->load_x(call, number);
    for (Index panel = 0; panel < this->panels(); ++panel) {
      const float* y = this->make_y(call, this->made_[this->which(number)], panel);
      gather(call, number, panel, y);
      this->pooled_.choose({.pool = &pool_,
                            .windows = this->strip(number).windows,
                            .y = y,
                            .y_row = this->strip(number).begin,
                            .channels = this->channels(panel),
                            .gamma = call.operand<const float>(kGamma) + panel * f_.columns,
                            .at = this->pooled_at(number, panel),
                            .chosen = call.operand<Y>(kChosen),
                            .index = call.operand<void>(kIndex)});
    }
  }

  void gather(const Call& call, Index number, Index panel, const float* y) const noexcept {
    float* shift = piece<float>(call, shift_);
    float* sums = piece<float>(call, sums_);
    choose_shift(y, counted_pixels(number), f_.columns, shift);
    grid_.repeat(shift);
    norm_.sums({.x = y,
                .count = counted_pixels(number) * f_.columns,
                .period = grid_.period(),
                .shift = shift,
                .sums = sums,
                .block = piece<float>(call, block_)});
    for (Index first = 0; first < this->channels(panel); first += kLine) {
      const Index group = (panel * f_.columns + first) / kLine;
      std::copy_n(shift + first, kLine, line(call, group, number, kShift));
      add_up(sums + first, line(call, group, number, kSum));
      add_up(sums + grid_.period() + first, line(call, group, number, kSquares));
    }
  }

  // Places of one channel in the period.
  void add_up(const float* places, float* line) const noexcept {
    for (Index i = 0; i < kLine; ++i) {
      double sum = 0;
      for (Index at = i; at < grid_.period(); at += f_.columns) sum += double{places[at]};
      line[i] = static_cast<float>(sum);
    }
  }

  void merge(const Call& call, Index group) const noexcept {
    std::array<double, kLine> mean{}, squares{};
    const auto chunk = [&](Index number) {
      return ChunkSums{counted_pixels(number), line(call, group, number, kShift),
                       line(call, group, number, kSum), line(call, group, number, kSquares)};
    };
    const Index channels = std::min(kLine, g_.co - group * kLine);
    merge_moments(this->strips(), channels, chunk, mean.data(), squares.data());
    float* moments = call.operand<float>(kMoments) + group * kLine;
    for (Index i = 0; i < channels; ++i) {
      const auto lane = static_cast<std::size_t>(i);
      const auto rounded = static_cast<float>(mean[lane]);
      moments[i] = rounded;
      moments[g_.co + i] = static_cast<float>(mean[lane] - double{rounded});
      moments[2 * g_.co + i] =
          static_cast<float>(squares[lane] / static_cast<double>(grid_.elements() / f_.columns));
    }
  }

  const NormFunctions<float>& norm_;
  ChannelGrid grid_;                        // of a panel
  Index shift_ = 0, sums_ = 0, block_ = 0;  // in scratch
};

/// dw = P^T * dy, a part for each of a fixed number of runs of strips.
template <class X, class Y>
class ConvPoolWeightGradient final : public PooledConv<X, Y> {
 public:
  ConvPoolWeightGradient(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa)
      : PooledConv<X, Y>(conv, pool, isa),
        columns_(one_pixel(product_.problem(), f_)),
        parts_(std::min(kEnoughTasks, this->strips()), taps() * conv.co) {
    list_runs();
    Index window_rows = 0;
    for (const PoolStrip& s : this->strips_) window_rows = std::max(window_rows, windows_over(s).size());
    gradient_ = scratch_.template add<float>(window_rows * pool.wo() * f_.columns);
    place_ = scratch_.template add<std::int32_t>(window_rows * pool.wo() * f_.columns);
    sums_ = scratch_.template add<float>(this->panels() * taps() * f_.columns);
  }

  std::string_view name() const noexcept override {
    return f_.lanes == 8 ? "conv_pool_weight_gradient/runs6x16" : "conv_pool_weight_gradient/runs6x64";
  }
  Index workspace_bytes() const noexcept override { return this->packed_bytes() + parts_.bytes(); }
  int phases() const noexcept override { return parts_.number() == 1 ? 2 : 3; }
  Index tasks(int phase) const noexcept override {
    return phase == 0 ? product_.prepare_tasks() : phase == 1 ? parts_.number() : parts_.sum_tasks();
  }
  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 0) return this->pack(call, task);
    if (phase == 1) return sum_part(call, task);
    parts_.sum(f_, call.operand<float>(kDw), call.workspace + this->packed_bytes(), task);
  }

 private:
  using PooledConv<X, Y>::g_;
  using PooledConv<X, Y>::pool_;
  using PooledConv<X, Y>::f_;
  using PooledConv<X, Y>::pooled_;
  using PooledConv<X, Y>::padded_;
  using PooledConv<X, Y>::product_;
  using PooledConv<X, Y>::scratch_;

  enum Operand : std::uint8_t { kDz = 3, kIndex, kZ, kTable, kDw };

  Index taps() const noexcept { return static_cast<Index>(columns_.size()); }

  /// Columns of the patch matrix: where they stand from a pixel's first tap, and in a panel of sums.
  static std::vector<Row> one_pixel(const PatchProblem& problem, const ConvFunctions& f) {
    const Index all = static_cast<Index>(problem.taps.size()) * problem.channels;
    return make_strip(problem, {.columns = all, .rows = 0, .column_stride = f.columns}, 1, 0, 1)
        .front()
        .groups.front()
        .columns;
  }

  /// Runs of the pixels of as many rows as any strip has; a row is one run or several of the same length.
  void list_runs() {
    const Index runs = ceil_div(pool_.g.w, pooled_.run_pixels);
    for (Index y = 0; y < this->most_rows(); ++y) {
      for (Index run = 0; run < runs; ++run) {
        const Index begin = pool_.g.w * run / runs, end = pool_.g.w * (run + 1) / runs;
        runs_.push_back({static_cast<std::int32_t>((y * g_.sh * padded_.w + begin * g_.sw) * g_.ci),
                         static_cast<std::int32_t>((y * pool_.g.w + begin) * f_.columns),
                         static_cast<std::int32_t>(end - begin)});
      }
    }
    runs_of_row_ = runs;
    runs_together_ = std::max<Index>(1, pooled_.run_pixels / ceil_div(pool_.g.w, runs));
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
    float* sums = piece<float>(call, sums_);  // [panel][column of P][column of the panel]
    std::fill_n(sums, this->panels() * taps() * f_.columns, 0.0F);
    const Index end = this->strips() * (part + 1) / parts_.number();
    for (Index number = this->strips() * part / parts_.number(); number < end; ++number) {
      const Index rows = this->strip(number).end - this->strip(number).begin;
      if (rows == 0) continue;
      const float* x = this->load_x(call, number);
      for (Index panel = 0; panel < this->panels(); ++panel) {
        const float* dy = make_dy(call, number, panel);
        const Index runs = rows * runs_of_row_;
        for (Index first = 0; first < runs; first += runs_together_) {
          pooled_.accumulate({.x = x,
                              .x_step = g_.sw * g_.ci,
                              .dy = dy,
                              .runs = runs_.data() + first,
                              .run_count = std::min(runs_together_, runs - first),
                              .columns = columns_.data(),
                              .column_count = taps(),
                              .channels = this->channels(panel),
                              .sums = sums + panel * taps() * f_.columns});
        }
      }
    }
    float* dw = parts_.part(call.operand<float>(kDw), call.workspace + this->packed_bytes(), part);
    store_sums(sums, taps(), g_.co, f_.columns, dw, g_.co);
  }

  /// A panel of dy of a strip, in the place of its y.
  const float* make_dy(const Call& call, Index number, Index panel) const noexcept {
    const PoolStrip& strip = this->strip(number);
    const Range windows = windows_over(strip);
    float* gradient = piece<float>(call, gradient_);
    auto* place = piece<std::int32_t>(call, place_);
    float* y = this->make_y(call, this->counted_[this->which(number)], panel);
    pooled_.windows({.pool = &pool_,
                     .windows = windows,
                     .channels = this->channels(panel),
                     .at = this->pooled_at(number, panel),
                     .dz = call.operand<const Y>(kDz),
                     .index = call.operand<const void>(kIndex),
                     .z = call.operand<const Y>(kZ),
                     .gradient = gradient,
                     .place = place});
    const float* table = call.operand<const float>(kTable) + panel * f_.columns;
    pooled_.spread({.pool = &pool_,
                    .rows = {strip.begin, strip.end},
                    .windows_from = windows.first,
                    .gradient = gradient,
                    .place = place,
                    .channels = this->channels(panel),
                    .centre = table,
                    .scale_dz = table + g_.co,
                    .scale_x = table + 2 * g_.co,
                    .constant = table + 3 * g_.co,
                    .y = y});
    return y;
  }

  std::vector<Row> columns_;
  WeightParts parts_;
  std::vector<PixelRun> runs_;
  Index runs_of_row_ = 1, runs_together_ = 1;
  Index gradient_ = 0, place_ = 0, sums_ = 0;  // in scratch
};

template <template <class, class> class K>
std::unique_ptr<Kernel> make(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa,
                             ConvStorage storage) {
  check(conv);
  if (!pools(conv, pool)) throw ShapeError("convolution and pool: more than one group, or not its result");
  check_storage(storage.out, isa);
  if (storage.out != DType::bf16) return std::make_unique<K<float, float>>(conv, pool, isa);
  if (storage.in != DType::bf16) return std::make_unique<K<float, BFloat16>>(conv, pool, isa);
  return std::make_unique<K<BFloat16, BFloat16>>(conv, pool, isa);
}

}  // namespace
}  // namespace conv

bool conv_pool_serves(const ConvGeometry& g, const PoolGeometry& pool) {
  if (!conv::pools(g, pool) || g.kh * g.kw * g.ci > conv::kMostProducts) return false;
  constexpr std::int64_t kWidestPanel = 64;
  const std::int64_t windows = conv::fitting_windows(pool, kWidestPanel), overlap = conv::overlap(pool);
  const std::int64_t floats = (windows * pool.sh + overlap) * pool.w * kWidestPanel;
  return floats * std::int64_t{sizeof(float)} <= conv::kWideStripBytes && 8 * overlap <= windows * pool.sh;
}

std::unique_ptr<Kernel> make_conv_pool(const ConvGeometry& g, const PoolGeometry& pool, Isa isa,
                                       ConvStorage storage) {
  return conv::make<conv::ConvPool>(g, pool, isa, storage);
}

std::unique_ptr<Kernel> make_conv_pool_weight_gradient(const ConvGeometry& g, const PoolGeometry& pool,
                                                       Isa isa, ConvStorage storage) {
  return conv::make<conv::ConvPoolWeightGradient>(g, pool, isa, storage);
}

}  // namespace resnet::kernels

#include "kernels/conv/winograd.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/conv/conv_simd.h"
#include "kernels/conv/winograd_simd.h"
#include "kernels/storage.h"

namespace resnet::kernels::conv {
namespace {

// Transformed tiles of a shared block, both matrices: they stay in the third level between phases.
constexpr std::int64_t kBlockBytes = 6 << 20;
// Points of a task's own block, most of the second level of 512 KiB and half of the 1 MiB where there is
// AVX-512, in whole register tiles; or two of those, where they are more.
constexpr std::int64_t local_bytes(std::int64_t lanes) noexcept {
  return (lanes == 8 ? 352 : 512) << 10;
}
// A chunk's own sums stay in the second level too.
constexpr std::int64_t local_sums(std::int64_t lanes) noexcept {
  return (lanes == 8 ? 512 : 1024) << 10;
}
// Such tasks read at most so many bytes of weights from the third level, and must be so many, that each
// thread has some: small batches are shared.
constexpr std::int64_t kLocalWeights = 8 << 20;
constexpr std::int64_t kFewestLocalTasks = 32;
constexpr std::int64_t kChunks = 32;
constexpr std::int64_t kResultRows = 8;  // of a task of the result
constexpr std::int64_t kTileRows = 6;    // of a register tile
constexpr std::int64_t kFewestLocalTiles = 2 * kTileRows;
constexpr std::int64_t kFewestTiles = 48;       // eight register tiles, so that a panel is worth its way
constexpr std::int64_t kTilesPerTask = 8;       // of a transform
constexpr std::int64_t kColumnsPerTask = 64;    // of a product
constexpr std::int64_t kPanelBytes = 16 << 10;  // of weights that stay in the first level
constexpr std::int64_t kWeightRows = 64;        // of a task that transforms weights
alignas(64) constexpr float kNoBias[64] = {};   // of a panel
constexpr std::int64_t kPieces = 64;            // tiles summed before the next squares of a weight gradient

// Rows of more than a square an odd number of lines apart, so that the rows of a square fall into
// different cache sets.
template <class T>
std::int64_t row_size(std::int64_t channels) {
  const std::int64_t lines = ceil_div(channels, kLine<T>);
  return (channels > kColumnsPerTask ? lines | 1 : lines) * kLine<T>;
}

// Matrices of neighbouring points likewise.
template <class T>
std::int64_t point_size(std::int64_t elements) {
  return (ceil_div(elements, kLine<T>) | 1) * kLine<T>;
}

template <class T>
constexpr std::string_view kSuffix = std::is_same_v<T, BFloat16> ? "_bf16" : "";
template <class T>
constexpr std::int64_t size() {
  return static_cast<std::int64_t>(sizeof(T));
}

// The tiles of maps of h x w pixels, in blocks of a task's own if `small` and those are enough, else shared.
class Grid {
 public:
  Grid(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t step, std::int64_t bytes_a_tile,
       std::int64_t own_bytes, bool small, std::int64_t shared_bytes, std::int64_t multiple)
      : down_(ceil_div(h, step)), across_(ceil_div(w, step)), tiles_(n * down_ * across_) {
    std::int64_t fitting = std::max(kFewestLocalTiles, own_bytes / bytes_a_tile);
    fitting -= fitting % multiple;
    local_ = small && ceil_div(tiles_, fitting) >= kFewestLocalTasks;
    if (!local_) fitting = std::max(kFewestTiles, shared_bytes / bytes_a_tile);
    blocks_ = ceil_div(tiles_, fitting);
    each_ = ceil_div(ceil_div(tiles_, blocks_), multiple) * multiple;
    blocks_ = ceil_div(tiles_, each_);
  }
  bool local() const noexcept { return local_; }
  std::int64_t down() const noexcept { return down_; }
  std::int64_t across() const noexcept { return across_; }
  std::int64_t blocks() const noexcept { return blocks_; }
  std::int64_t most() const noexcept { return each_; }  // tiles of a block
  std::int64_t begin(std::int64_t block) const noexcept { return block * each_; }
  std::int64_t count(std::int64_t block) const noexcept { return std::min(each_, tiles_ - block * each_); }
  // Tiles of one task of a transform, and how many of those a block has.
  std::int64_t step() const noexcept { return local_ ? each_ : kTilesPerTask; }
  std::int64_t tasks(std::int64_t block) const noexcept { return ceil_div(count(block), step()); }

  // The tiles of a task, in a tensor of this map.
  Tiles tiles(std::int64_t block, std::int64_t task, std::int64_t h, std::int64_t w, std::int64_t c,
              std::int64_t top, std::int64_t left) const noexcept {
    const std::int64_t first = task * step();
    return {.h = h,
            .w = w,
            .c = c,
            .down = down_,
            .across = across_,
            .top = top,
            .left = left,
            .begin = begin(block) + first,
            .count = std::min(step(), count(block) - first)};
  }

  // Tasks of all blocks, numbered: only the last block has fewer.
  std::int64_t all_tasks() const noexcept { return number(blocks_ - 1, tasks(blocks_ - 1)); }
  std::int64_t number(std::int64_t block, std::int64_t task) const noexcept {
    return block * tasks(0) + task;
  }

 private:
  std::int64_t down_, across_, tiles_, blocks_ = 1, each_ = 1;
  bool local_ = false;
};

// How many pixels of its image a run of tiles of step x step pixels has, counted from the image's first.
std::int64_t pixels_of(const Tiles& tiles, std::int64_t step) noexcept {
  std::int64_t pixels = 0;
  for (std::int64_t tile = tiles.begin; tile < tiles.begin + tiles.count; ++tile) {
    const std::int64_t y = tile / tiles.across % tiles.down * step, x = tile % tiles.across * step;
    pixels += std::min(step, tiles.h - y) * std::min(step, tiles.w - x);
  }
  return pixels;
}

bool strided(const ConvGeometry& g) noexcept {
  return g.sh == 2;
}

// Pixels are even and odd counted from the first of the padding; the tiles of a gradient begin at the first
// of the map where that is odd both ways, else in the padding.
bool begins_odd(const ConvGeometry& g) noexcept {
  return g.ph == 1 && g.pw == 1;
}

Cut3x3 cut_of(const ConvGeometry& g, std::int64_t m, bool gradient) {
  if (strided(g) && gradient) return begins_odd(g) ? Cut3x3::odd_gradient : Cut3x3::even_gradient;
  if (strided(g)) return Cut3x3::parity;
  return m == 3 ? Cut3x3::f3 : Cut3x3::f4;
}

// Where a norm before the convolution has no ReLU, nothing is too low.
float floor_of(const ConvCarried& carried) noexcept {
  return carried.relu ? 0.0F : -std::numeric_limits<float>::infinity();
}

// The name says what of norms is carried.
std::string name_of(std::string_view pass, const ConvGeometry& g, std::int64_t m, std::string_view suffix,
                    const ConvCarried& carried) {
  return fmt::format("{}/{}{}x{}{}{}{}{}{}", pass, strided(g) ? "parity" : "winograd", m, m, suffix,
                     carried.norm ? "+norm" : "", carried.moments ? "+moments" : "",
                     carried.sums != ConvCarried::Sums::none ? "+sums" : "",
                     carried.norm_gradient ? "+norm_gradient" : "");
}

std::vector<std::vector<std::int64_t>> points_by_matrix(const auto& functions) {
  std::vector<std::vector<std::int64_t>> result(static_cast<std::size_t>(functions.matrices()));
  for (std::int64_t p = 0; p < functions.points(); ++p)
    result[static_cast<std::size_t>(functions.matrix(p))].push_back(p);
  return result;
}

// Forward and input gradient. At stride 1 they are the same convolution, of dy with mirrored weights and
// the padding that is left of 2; at stride 2 the gradient has tiles of its own.
//
// Where the weights are few, a task is a small block, all its points in the second level: phases [weights],
// [blocks]. Else all threads share blocks that live in the third level, so that weights are read seldom:
// [weights, input of block 0], then for each block [products], [its output, input of the next]. What is
// gathered for a batch norm, by tasks that write outputs, is merged in a last phase.
template <class T>
class Product final : public Kernel {
 public:
  Product(const ConvGeometry& g, bool forward, std::int64_t m, const ConvCarried& carried, Isa isa)
      : g_(g),
        forward_(forward),
        carried_(carried),
        in_(forward ? g.ci : g.co),
        out_(forward ? g.co : g.ci),
        in_h_(forward ? g.h : g.ho()),
        in_w_(forward ? g.w : g.wo()),
        out_h_(forward ? g.ho() : g.h),
        out_w_(forward ? g.wo() : g.w),
        top_(forward      ? -g.ph
             : strided(g) ? begins_odd(g) - 1
                          : g.ph - 2),
        left_(forward      ? -g.pw
              : strided(g) ? begins_odd(g) - 1
                           : g.pw - 2),
        out_top_(!forward && strided(g) && !begins_odd(g) ? -g.ph : 0),
        out_left_(!forward && strided(g) && !begins_odd(g) ? -g.pw : 0),
        f_(conv_functions<T>(isa)),
        p_(point_functions<T>(isa, cut_of(g, m, !forward))),
        t_(winograd_functions<T>(isa, cut_of(g, m, !forward))),
        in_row_(row_size<T>(in_)),
        out_row_(row_size<float>(out_)),
        panels_(f_.panels(out_)),
        in_words_(ceil_div(in_, kWord<T>)),
        weight_point_(point_size<float>(panels_ * f_.columns * in_words_)),
        grid_(g.n, out_h_ - out_top_, out_w_ - out_left_, t_.output_step,
              t_.points() * (size<T>() * in_row_ + size<float>() * out_row_), local_bytes(f_.lanes),
              size<float>() * t_.matrices() * weight_point_ <= kLocalWeights, kBlockBytes, kTileRows),
        in_point_(point_size<T>(grid_.most() * in_row_)),
        out_point_(point_size<float>(grid_.most() * out_row_)),
        gathered_(carried, out_, grid_.all_tasks()),
        zeros_(static_cast<std::size_t>(in_), T(0.0F)) {
    name_ = name_of(forward ? "conv_forward" : "conv_input_gradient", g, m, kSuffix<T>, carried);
    points_of_ = points_by_matrix(t_);
    panels_per_task_ = std::max<std::int64_t>(1, kColumnsPerTask / f_.columns);
    panel_blocks_ = ceil_div(panels_, panels_per_task_);
    for (std::int64_t t = 0; t < grid_.most(); ++t) {
      rows_.push_back(
          {static_cast<std::int32_t>(t * in_row_ / kWord<T>), static_cast<std::int32_t>(t * out_row_)});
    }
    const std::int64_t most = kPanelBytes / (4 * f_.columns);
    const std::int64_t chunks = ceil_div(in_words_, most);
    for (std::int64_t c = 0; c < chunks; ++c) {
      const std::int64_t begin = in_words_ * c / chunks, end = in_words_ * (c + 1) / chunks;
      segments_.push_back({static_cast<std::int32_t>(begin), static_cast<std::int32_t>(begin),
                           static_cast<std::int32_t>(end - begin)});
    }
  }

  std::string_view name() const noexcept override { return name_; }
  std::int64_t workspace_bytes() const noexcept override {
    return gathers_at() + gathered_.bytes() + size<float>() * (carried_.moments ? grid_.all_tasks() : 0);
  }
  std::int64_t scratch_bytes() const noexcept override {
    return own_block_bytes() + gathered_.scratch_bytes();
  }
  int phases() const noexcept override { return product_phases() + (gathered_.any() ? 1 : 0); }
  std::int64_t tasks(int phase) const noexcept override {
    if (phase == product_phases()) return gathered_.merge_tasks();
    if (grid_.local()) return phase == 0 ? weight_tasks() : grid_.blocks();
    if (phase % 2 == 1) return multiply_tasks();
    const std::int64_t block = phase / 2;
    const std::int64_t first = phase == 0 ? weight_tasks() : grid_.tasks(block - 1);
    return first + (block < grid_.blocks() ? grid_.tasks(block) : 0);
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    if (phase == product_phases()) return merge(call, task);
    if (grid_.local()) {
      phase == 0 ? transform_weights(call, task) : run_block(call, task);
      return;
    }
    auto* const points = reinterpret_cast<std::byte*>(weights(call) + t_.matrices() * weight_point_);
    const std::int64_t block = phase / 2;
    if (phase % 2 == 1) {
      multiply(call, points, block, task);
      return;
    }
    const std::int64_t first = phase == 0 ? weight_tasks() : grid_.tasks(block - 1);
    if (task >= first) {
      transform_input(call, points, block, task - first);
    } else if (phase == 0) {
      transform_weights(call, task);
    } else {
      transform_output(call, points, block - 1, task);
    }
  }

 private:
  bool by_signs() const noexcept { return carried_.sums == ConvCarried::Sums::by_signs; }
  int product_phases() const noexcept { return grid_.local() ? 2 : static_cast<int>(1 + 2 * grid_.blocks()); }
  std::int64_t own_block_bytes() const noexcept { return grid_.local() ? block_bytes() : 0; }
  // In the workspace: weights, a shared block, then the sums of chunks and their numbers of pixels.
  std::int64_t gathers_at() const noexcept {
    return size<float>() * t_.matrices() * weight_point_ + (grid_.local() ? 0 : block_bytes());
  }
  float* chunk_pixels(const Call& call) const noexcept {
    return reinterpret_cast<float*>(call.workspace + gathers_at() + gathered_.bytes());
  }
  // Places of operands that follow carried ones.
  int norm_at() const noexcept { return forward_ ? 3 : 2 + (carried_.add ? 1 : 0); }
  int result_at() const noexcept {
    if (forward_) return norm_at() + (carried_.norm ? 1 : 0);
    return norm_at() + (carried_.sums == ConvCarried::Sums::none ? 0 : by_signs() ? 3 : 2);
  }

  std::int64_t weight_tasks() const noexcept { return panels_ * ceil_div(in_, kWeightRows); }
  float* weights(const Call& call) const noexcept { return reinterpret_cast<float*>(call.workspace); }
  // A block's points: those of its output, then those of its input.
  std::int64_t block_bytes() const noexcept {
    return t_.points() * (size<float>() * out_point_ + size<T>() * in_point_);
  }
  float* outputs(std::byte* points) const noexcept { return reinterpret_cast<float*>(points); }
  T* inputs(std::byte* points) const noexcept {
    return reinterpret_cast<T*>(outputs(points) + t_.points() * out_point_);
  }
  std::int64_t multiply_tasks() const noexcept { return t_.matrices() * panel_blocks_; }

  void run_block(const Call& call, std::int64_t block) const noexcept {
    for (std::int64_t i = 0; i < grid_.tasks(block); ++i) transform_input(call, call.scratch, block, i);
    for (std::int64_t i = 0; i < multiply_tasks(); ++i) multiply(call, call.scratch, block, i);
    for (std::int64_t i = 0; i < grid_.tasks(block); ++i) transform_output(call, call.scratch, block, i);
  }

  void transform_weights(const Call& call, std::int64_t task) const noexcept {
    const std::int64_t parts = ceil_div(in_, kWeightRows), part = task % parts;
    t_.weights({.w = call.operand<const float>(1),
                .ci = g_.ci,
                .co = g_.co,
                .mirrored = !forward_,
                .points = weights(call),
                .point_stride = weight_point_,
                .panel = task / parts,
                .panel_columns = f_.columns,
                .panel_words = in_words_ * f_.columns,
                .begin = part * kWeightRows,
                .end = std::min(in_, (part + 1) * kWeightRows)});
  }

  void transform_input(const Call& call, std::byte* points, std::int64_t block,
                       std::int64_t task) const noexcept {
    p_.input({.tiles = grid_.tiles(block, task, in_h_, in_w_, in_, top_, left_),
              .image = call.operand<const T>(0),
              .points = inputs(points) + task * grid_.step() * in_row_,
              .point_stride = in_point_,
              .row_stride = in_row_,
              .zeros = zeros_.data(),
              .table = carried_.norm ? call.operand<const float>(norm_at()) : nullptr,
              .floor = floor_of(carried_)});
  }

  // Some panels of one matrix with all its points. Matrices of many points come last in the order of
  // points and are begun first.
  void multiply(const Call& call, std::byte* points, std::int64_t block, std::int64_t task) const noexcept {
    const std::int64_t matrix = t_.matrices() - 1 - task / panel_blocks_, part = task % panel_blocks_;
    MultiplyArgs args;
    args.rows = rows_.data();
    args.count = grid_.count(block);
    args.segment_count = 1;
    const std::int64_t end = std::min(panels_, (part + 1) * panels_per_task_);
    for (std::int64_t panel = part * panels_per_task_; panel < end; ++panel) {
      args.panel = weights(call) + matrix * weight_point_ + panel * in_words_ * f_.columns;
      args.columns = std::min(f_.columns, out_ - panel * f_.columns);
      for (const std::int64_t point : points_of_[static_cast<std::size_t>(matrix)]) {
        args.source = reinterpret_cast<const float*>(inputs(points) + point * in_point_);
        args.out = outputs(points) + point * out_point_ + panel * f_.columns;
        args.bias = kNoBias;
        for (const Segment& segment : segments_) {
          args.segments = &segment;
          // In a block of its own a task waits less for panels than asking for them costs.
          if (!grid_.local())
            args.next_panel = args.panel + (segment.k + segment.length) * f_.padded_columns(args.columns);
          f_.multiply(args);
          args.bias = nullptr;  // the next adds
        }
      }
    }
  }

  void transform_output(const Call& call, std::byte* points, std::int64_t block,
                        std::int64_t task) const noexcept {
    TileSums<T> args = {.tiles = grid_.tiles(block, task, out_h_, out_w_, out_, out_top_, out_left_),
                        .image = call.operand<T>(result_at()),
                        .points = outputs(points) + task * grid_.step() * out_row_,
                        .point_stride = out_point_,
                        .row_stride = out_row_,
                        .bias = forward_ ? call.operand<const float>(2) : nullptr,
                        .addend = carried_.add ? call.operand<const T>(2) : nullptr};
    if (!gathered_.any()) return t_.output(args);
    Gathered<T>& gathered = args.gathered;
    gathered.sums = reinterpret_cast<float*>(call.scratch + own_block_bytes());
    if (carried_.moments) {
      gathered.what = Gather::moments;
    } else {
      gathered.what = by_signs() ? Gather::gradient_by_signs : Gather::gradient_by_table;
      gathered.x = call.operand<const T>(norm_at());
      gathered.table = call.operand<const float>(norm_at() + 1);
      if (by_signs()) gathered.signs = call.operand<const std::uint8_t>(norm_at() + 2);
    }
    t_.output(args);
    const std::int64_t chunk = grid_.number(block, task);
    gathered_.store(call.workspace + gathers_at(), gathered.sums, chunk, 0, out_);
    if (carried_.moments)
      chunk_pixels(call)[chunk] = static_cast<float>(pixels_of(args.tiles, t_.output_step));
  }

  void merge(const Call& call, std::int64_t task) const noexcept {
    gathered_.merge(
        call.workspace + gathers_at(), task, g_.n * out_h_ * out_w_,
        [&](std::int64_t chunk) { return chunk_pixels(call)[chunk]; }, call.operand<float>(result_at() + 1));
  }

  ConvGeometry g_;
  bool forward_;
  ConvCarried carried_;
  std::int64_t in_, out_;  // channels
  std::int64_t in_h_, in_w_, out_h_, out_w_;
  std::int64_t top_, left_, out_top_, out_left_;  // of the first tile in source and result
  const ConvFunctions& f_;
  const PointFunctions<T>& p_;
  const WinogradFunctions<T>& t_;
  std::int64_t in_row_, out_row_;  // elements between tiles
  std::int64_t panels_, panels_per_task_ = 1, panel_blocks_ = 1;
  std::int64_t in_words_, weight_point_;  // words between matrices
  Grid grid_;
  std::int64_t in_point_, out_point_;                 // elements between points
  GatheredSums gathered_;                             // chunks: tasks that write outputs
  std::vector<std::vector<std::int64_t>> points_of_;  // matrices
  std::vector<T> zeros_;
  std::vector<Row> rows_;
  std::vector<Segment> segments_;
  std::string name_;
};

// dw = sum over tiles of (input points) x (output gradient points), point by point, and back.
//
// Where the sums are few, a task is a chunk of small blocks with sums of its own, all in the second level:
// phases [chunks], [sum of the chunks and result]. Else all threads share blocks that live in the third
// level: for each block [transforms], [products], then [result].
template <class T>
class WeightGradient final : public Kernel {
 public:
  WeightGradient(const ConvGeometry& g, std::int64_t m, const ConvCarried& carried, Isa isa)
      : g_(g),
        carried_(carried),
        f_(conv_functions<T>(isa)),
        p_(point_functions<T>(isa, cut_of(g, m, false))),
        t_(winograd_functions<T>(isa, cut_of(g, m, false))),
        x_row_(row_size<float>(g.ci)),
        y_row_(row_size<float>(g.co)),
        sum_point_(point_size<float>(g.ci * y_row_)),
        // Every shared block passes over the sums: where they are many, few blocks.
        grid_(g.n, g.ho(), g.wo(), t_.output_step, t_.points() * size<T>() * (x_row_ + y_row_),
              local_bytes(f_.lanes), size<float>() * t_.matrices() * sum_point_ <= local_sums(f_.lanes),
              std::max(kBlockBytes, size<float>() * t_.matrices() * sum_point_ / 2), 1),
        chunks_(grid_.local() ? std::min(kChunks, grid_.blocks()) : 1),
        x_point_(point_size<float>(words(grid_.most()) * x_row_)),
        y_point_(point_size<float>(words(grid_.most()) * y_row_)),
        square_rows_(ceil_div(g.ci, kColumnsPerTask)),
        square_columns_(ceil_div(g.co, kColumnsPerTask)),
        zeros_(static_cast<std::size_t>(std::max(g.ci, g.co)), T(0.0F)) {
    name_ = name_of("conv_weight_gradient", g, m, kSuffix<T>, carried);
    points_of_ = points_by_matrix(t_);
    for (std::int64_t i = 0; i < std::min(g.ci, kColumnsPerTask); ++i) {
      columns_.push_back({static_cast<std::int32_t>(i), static_cast<std::int32_t>(i * y_row_)});
    }
  }

  std::string_view name() const noexcept override { return name_; }
  std::int64_t workspace_bytes() const noexcept override {
    return chunks_ * sums_bytes() + (grid_.local() ? 0 : block_bytes());
  }
  std::int64_t scratch_bytes() const noexcept override { return grid_.local() ? block_bytes() : 0; }
  int phases() const noexcept override {
    return grid_.local() ? 2 : static_cast<int>(2 * grid_.blocks() + 1);
  }
  std::int64_t tasks(int phase) const noexcept override {
    if (phase == phases() - 1) return ceil_div(g_.ci, kResultRows);
    if (grid_.local()) return chunks_;
    return phase % 2 == 0 ? transform_tasks(phase / 2) : accumulate_tasks();
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    if (phase == phases() - 1) return finish(call, task);
    if (grid_.local()) return run_chunk(call, task);
    auto* const points = reinterpret_cast<float*>(call.workspace + sums_bytes());
    const std::int64_t block = phase / 2;
    if (phase % 2 == 0) {
      transform(call, points, block, task);
    } else {
      accumulate(points, sums(call, 0), block, task, block == 0);
    }
  }

 private:
  int result_at() const noexcept { return 2 + (carried_.norm ? 1 : 0) + (carried_.norm_gradient ? 2 : 0); }

  // Rows of `tiles` tiles.
  static std::int64_t words(std::int64_t tiles) noexcept { return ceil_div(tiles, kWord<T>); }

  std::int64_t sums_bytes() const noexcept { return size<float>() * t_.matrices() * sum_point_; }
  float* sums(const Call& call, std::int64_t chunk) const noexcept {
    return reinterpret_cast<float*>(call.workspace + chunk * sums_bytes());
  }
  // A block's points: those of x, then those of dy.
  std::int64_t block_bytes() const noexcept { return size<float>() * t_.points() * (x_point_ + y_point_); }
  float* gradients(float* points) const noexcept { return points + t_.points() * x_point_; }
  std::int64_t transform_tasks(std::int64_t block) const noexcept { return 2 * grid_.tasks(block); }
  std::int64_t accumulate_tasks() const noexcept { return t_.matrices() * square_rows_ * square_columns_; }

  void run_chunk(const Call& call, std::int64_t chunk) const noexcept {
    auto* const points = reinterpret_cast<float*>(call.scratch);
    const std::int64_t first = grid_.blocks() * chunk / chunks_, end = grid_.blocks() * (chunk + 1) / chunks_;
    for (std::int64_t block = first; block < end; ++block) {
      for (std::int64_t i = 0; i < transform_tasks(block); ++i) transform(call, points, block, i);
      for (std::int64_t i = 0; i < accumulate_tasks(); ++i)
        accumulate(points, sums(call, chunk), block, i, block == first);
    }
  }

  void transform(const Call& call, float* points, std::int64_t block, std::int64_t task) const noexcept {
    const std::int64_t part = task / 2;
    const std::int64_t row = words(part * grid_.step());  // a task's tiles fill words, but for the last
    if (task % 2 == 0) {
      p_.summed_input({.tiles = grid_.tiles(block, part, g_.h, g_.w, g_.ci, -g_.ph, -g_.pw),
                       .image = call.operand<const T>(0),
                       .points = reinterpret_cast<T*>(points + row * x_row_),
                       .point_stride = x_point_ * kWord<T>,
                       .row_stride = x_row_,
                       .zeros = zeros_.data(),
                       .table = carried_.norm ? call.operand<const float>(2) : nullptr,
                       .floor = floor_of(carried_)});
      return;
    }
    const TilePoints<T> dy = {.tiles = grid_.tiles(block, part, g_.ho(), g_.wo(), g_.co, 0, 0),
                              .image = call.operand<const T>(1),
                              .points = reinterpret_cast<T*>(gradients(points) + row * y_row_),
                              .point_stride = y_point_ * kWord<T>,
                              .row_stride = y_row_,
                              .zeros = zeros_.data()};
    if (!carried_.norm_gradient) return p_.summed_output_gradient(dy);
    p_.summed_norm_gradient({.dz = dy,
                             .x = call.operand<const T>(result_at() - 2),
                             .table = call.operand<const float>(result_at() - 1),
                             .dy = call.operand<T>(result_at() + 1)});
  }

  // One square of one matrix of sums; `fresh`: they hold nothing yet.
  void accumulate(float* points, float* sums, std::int64_t block, std::int64_t task,
                  bool fresh) const noexcept {
    const Square square = square_of(task);
    const std::vector<std::int64_t>& own = points_of_[static_cast<std::size_t>(square.matrix)];
    OuterArgs args;
    args.x_stride = x_row_;
    args.dy_stride = y_row_;
    args.columns = columns_.data();
    args.column_count = std::min(kColumnsPerTask, g_.ci - square.ci);
    args.outputs = f_.padded_columns(std::min(kColumnsPerTask, g_.co - square.co));
    args.sums = sums + square.matrix * sum_point_ + square.ci * y_row_ + square.co;
    args.add = !fresh;
    const std::int64_t count = words(grid_.count(block)), pieces = ceil_div(count, kPieces);
    for (std::size_t i = 0; i < own.size(); ++i) {
      for (std::int64_t piece = 0; piece < pieces; ++piece) {
        const std::int64_t begin = count * piece / pieces, end = count * (piece + 1) / pieces;
        args.count = end - begin;
        args.x = x_of(points, own[i], square) + begin * x_row_;
        args.dy = dy_of(points, own[i], square) + begin * y_row_;
        const bool more = piece + 1 < pieces, last = !more && i + 1 == own.size();
        const Square then = last ? square_of(std::min(task + 1, accumulate_tasks() - 1)) : square;
        const std::int64_t point = more   ? own[i]
                                   : last ? points_of_[static_cast<std::size_t>(then.matrix)][0]
                                          : own[i + 1];
        args.next_x = x_of(points, point, then) + (more ? end * x_row_ : 0);
        args.next_dy = dy_of(points, point, then) + (more ? end * y_row_ : 0);
        f_.outer(args);
        args.add = true;
      }
    }
  }

  struct Square {
    std::int64_t matrix, ci, co;
  };
  // Matrices of many points come last in the order of points and are begun first.
  Square square_of(std::int64_t task) const noexcept {
    return {t_.matrices() - 1 - task / (square_rows_ * square_columns_),
            task / square_columns_ % square_rows_ * kColumnsPerTask,
            task % square_columns_ * kColumnsPerTask};
  }
  float* x_of(float* points, std::int64_t point, const Square& square) const noexcept {
    return points + point * x_point_ + square.ci;
  }
  float* dy_of(float* points, std::int64_t point, const Square& square) const noexcept {
    return gradients(points) + point * y_point_ + square.co;
  }

  void finish(const Call& call, std::int64_t task) const noexcept {
    const std::int64_t begin = task * kResultRows, end = std::min(g_.ci, begin + kResultRows);
    for (std::int64_t matrix = 0; matrix < t_.matrices(); ++matrix) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t at = matrix * sum_point_ + row * y_row_;
        for (std::int64_t chunk = 1; chunk < chunks_; ++chunk)
          f_.add(sums(call, chunk) + at, sums(call, 0) + at, f_.padded_columns(g_.co));
      }
    }
    t_.weight_result({.points = sums(call, 0),
                      .point_stride = sum_point_,
                      .row_stride = y_row_,
                      .dw = call.operand<float>(result_at()),
                      .ci = g_.ci,
                      .co = g_.co,
                      .begin = begin,
                      .end = end});
  }

  ConvGeometry g_;
  ConvCarried carried_;
  const ConvFunctions& f_;
  const PointFunctions<T>& p_;
  const WinogradFunctions<T>& t_;
  std::int64_t x_row_, y_row_, sum_point_;  // words
  Grid grid_;
  std::int64_t chunks_;             // of the sums
  std::int64_t x_point_, y_point_;  // words
  std::int64_t square_rows_, square_columns_;
  std::vector<std::vector<std::int64_t>> points_of_;  // matrices
  std::vector<T> zeros_;
  std::vector<Row> columns_;
  std::string name_;
};

}  // namespace

bool winograd_serves(const ConvGeometry& g) noexcept {
  return g.kh == 3 && g.kw == 3 && g.sh == g.sw && g.sh <= 2 && g.dh == 1 && g.dw == 1 && g.groups == 1 &&
         g.ph <= 2 && g.pw <= 2;
}

bool winograd_serves(const ConvGeometry& g, std::int64_t m) noexcept {
  return winograd_serves(g) && (m == 3 || (m == 4 && !strided(g)));
}

std::unique_ptr<Kernel> make_winograd(const ConvGeometry& g, ConvPass pass, std::int64_t m, Isa isa,
                                      DType storage, const ConvCarried& carried) {
  if (pass == ConvPass::weight_gradient) return make_stored<WeightGradient>(storage, isa, g, m, carried);
  return make_stored<Product>(storage, isa, g, pass == ConvPass::forward, m, carried);
}

}  // namespace resnet::kernels::conv

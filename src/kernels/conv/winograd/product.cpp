#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/conv/norm_stats/norm_stats.h"
#include "kernels/conv/winograd/grid.h"
#include "kernels/conv/winograd/transforms_simd.h"
#include "kernels/layout.h"
#include "kernels/matmul/matmul_simd.h"
#include "kernels/offset.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels::conv::winograd {
namespace {

// Transformed tiles of a shared block, both matrices: they stay in L3 between phases, and few
// blocks read the weights.
constexpr std::int64_t kProductBlockBytes = 9 << 20;
// Most bytes of weights that a task with a block of its own reads from L3.
constexpr std::int64_t kLocalWeights = 8 << 20;
constexpr std::int64_t kPanelBytes = 16 << 10;  // of weights that stay in L1
constexpr std::int64_t kWeightRows = 64;        // of a task that transforms weights
alignas(64) constexpr float kNoBias[64] = {};   // of a panel

// How many pixels of its image a run of tiles of step x step pixels has, counted from the image's first.
std::int64_t pixels_of(const Tiles& tiles, std::int64_t step) noexcept {
  std::int64_t pixels = 0;
  for (std::int64_t tile = tiles.begin; tile < tiles.begin + tiles.count; ++tile) {
    const std::int64_t y = tile / tiles.across % tiles.down * step, x = tile % tiles.across * step;
    pixels += std::min(step, tiles.h - y) * std::min(step, tiles.w - x);
  }
  return pixels;
}

// Forward and input gradient. At stride 1 they are the same convolution, of dy with mirrored weights and
// the padding that is left of 2; at stride 2 the gradient has tiles of its own.
//
// Where the weights are few, a task is a small block, all its points in L2: phases [weights],
// [blocks]. Else all threads share blocks that live in L3, so that weights are read seldom:
// [weights], [input of round 0], then for each round [products], [its output, input of the next]. What is
// accumulated for a batch norm, by tasks that write outputs, is merged in a last phase.
template <class T>
class WinogradProduct final : public Kernel {
 public:
  WinogradProduct(const ConvGeometry& g, bool forward, std::int64_t m, const ConvFusion& fusion, Isa isa)
      : g_(g),
        forward_(forward),
        fusion_(fusion),
        operands_(fusion, forward),
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
        f_(matmul_functions<T>(isa)),
        p_(point_functions<T>(isa, cut_of(g, m, !forward))),
        t_(winograd_functions<T>(isa, cut_of(g, m, !forward))),
        in_row_(row_size<T>(in_)),
        out_row_(row_size<float>(out_)),
        panels_(f_.panels(out_)),
        in_words_(ceil_div(in_, kWord<T>)),
        weight_point_(point_size<float>(panels_ * f_.columns * in_words_)),
        grid_(g.n, out_h_ - out_top_, out_w_ - out_left_, t_.output_step,
              t_.points() * (size<T>() * in_row_ + size<float>() * out_row_), local_bytes(f_.lanes),
              size<float>() * t_.matrices() * weight_point_ <= kLocalWeights, kProductBlockBytes, kTeams,
              kTileRows),
        in_point_(point_size<T>(grid_.most() * in_row_)),
        out_point_(point_size<float>(grid_.most() * out_row_)),
        stats_(fusion, out_, grid_.all_tasks()),
        zeros_(static_cast<std::size_t>(in_), T(0.0F)) {
    name_ = name_of(forward ? "conv_forward" : "conv_input_gradient", g, m, kSuffix<T>, fusion);
    points_of_ = points_by_matrix(t_);
    blocks_ = workspace_.add<std::byte>(grid_.local() ? 0 : grid_.teams() * block_bytes());
    chunk_sums_ = workspace_.add<std::byte>(stats_.bytes());
    pixels_ = workspace_.add<float>(fusion.moments ? grid_.all_tasks() : 0);
    own_block_ = scratch_.add<std::byte>(grid_.local() ? block_bytes() : 0);
    tables_ = scratch_.add<std::byte>(stats_.scratch_bytes());
    panels_per_task_ = std::max<std::int64_t>(1, kColumnsPerTask / f_.columns);
    panel_blocks_ = ceil_div(panels_, panels_per_task_);
    for (std::int64_t t = 0; t < grid_.most(); ++t) {
      rows_.push_back({narrow(t * in_row_ / kWord<T>), narrow(t * out_row_)});
    }
    const std::int64_t most = kPanelBytes / (4 * f_.columns);
    const std::int64_t chunks = ceil_div(in_words_, most);
    for (std::int64_t c = 0; c < chunks; ++c) {
      const std::int64_t begin = in_words_ * c / chunks, end = in_words_ * (c + 1) / chunks;
      segments_.push_back({narrow(begin), narrow(begin), narrow(end - begin)});
    }
  }

  std::string_view name() const noexcept override { return name_; }
  std::int64_t prepared_bytes() const noexcept override {
    return size<float>() * t_.matrices() * weight_point_;
  }
  std::int64_t prepare_tasks() const noexcept override { return weight_tasks(); }
  bool prepares_from(std::size_t operand) const noexcept override { return operand == 1; }
  std::int64_t workspace_bytes() const noexcept override { return workspace_.bytes(); }
  std::int64_t scratch_bytes() const noexcept override { return scratch_.bytes(); }
  int phases() const noexcept override { return product_phases() + (stats_.any() ? 1 : 0); }
  std::int64_t tasks(int phase) const noexcept override {
    if (phase == product_phases()) return stats_.merge_tasks();
    if (grid_.local()) return phase == 0 ? weight_tasks() : grid_.blocks();
    if (phase == 0) return weight_tasks();
    return grid_.teams() * (phase % 2 == 0 ? multiply_tasks() : grid_.tasks(0));
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    if (phase == product_phases()) return merge(call, task);
    if (grid_.local()) {
      phase == 0 ? transform_weights(call, task) : run_block(call, task);
      return;
    }
    if (phase == 0) return transform_weights(call, task);
    const std::int64_t round = (phase - 1) / 2, each = phase % 2 == 0 ? multiply_tasks() : grid_.tasks(0);
    const std::int64_t team = task / each, block = grid_.block(team, round);
    std::byte* const points = call.workspace + blocks_ + team * block_bytes();
    task %= each;
    if (phase % 2 == 0) return multiply(call, points, block, task);
    if (round > 0 && task < grid_.tasks(block - 1)) transform_output(call, points, block - 1, task);
    if (round < grid_.rounds() && task < grid_.tasks(block)) transform_input(call, points, block, task);
  }

 private:
  int product_phases() const noexcept { return grid_.local() ? 2 : static_cast<int>(2 + 2 * grid_.rounds()); }
  float* chunk_pixels(const Call& call) const noexcept { return piece<float>(call.workspace, pixels_); }

  std::int64_t weight_tasks() const noexcept { return panels_ * ceil_div(in_, kWeightRows); }
  static float* weights(const Call& call) noexcept { return reinterpret_cast<float*>(call.prepared); }
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
    for (std::int64_t i = 0; i < grid_.tasks(block); ++i)
      transform_input(call, call.scratch + own_block_, block, i);
    for (std::int64_t i = 0; i < multiply_tasks(); ++i) multiply(call, call.scratch + own_block_, block, i);
    for (std::int64_t i = 0; i < grid_.tasks(block); ++i)
      transform_output(call, call.scratch + own_block_, block, i);
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
              .table = fusion_.norm ? call.operand<const float>(operands_.norm) : nullptr,
              .floor = floor_of(fusion_)});
  }

  // Some panels of one matrix with all its points. Matrices of many points come last in the order of
  // points and are begun first.
  void multiply(const Call& call, std::byte* points, std::int64_t block, std::int64_t task) const noexcept {
    const std::int64_t matrix = matrix_of(task);
    MultiplyArgs args;
    args.rows = rows_.data();
    args.count = grid_.count(block);
    args.segment_count = 1;
    const std::int64_t end = std::min(panels_, first_panel(task) + panels_per_task_);
    for (std::int64_t panel = first_panel(task); panel < end; ++panel) {
      args.panel = weights(call) + weights_at(matrix, panel);
      args.columns = std::min(f_.columns, out_ - panel * f_.columns);
      // The task that follows is, as a rule, the same thread's.
      const float* next =
          weights(call) + (panel + 1 < end ? weights_at(matrix, panel + 1)
                                           : weights_at(matrix_of(task + 1), first_panel(task + 1)));
      for (const std::int64_t point : points_of_[static_cast<std::size_t>(matrix)]) {
        args.source = reinterpret_cast<const float*>(inputs(points) + point * in_point_);
        args.out = outputs(points) + point * out_point_ + panel * f_.columns;
        args.bias = kNoBias;
        for (const Segment& segment : segments_) {
          args.segments = &segment;
          const std::int64_t segment_end = segment.k + segment.length;
          // In a block of its own a task waits less for panels than asking for them costs.
          if (!grid_.local())
            args.next_panel =
                segment_end < in_words_ ? args.panel + segment_end * f_.padded_columns(args.columns) : next;
          f_.multiply(args);
          args.bias = nullptr;  // the next adds
        }
      }
    }
  }
  // Beyond the last task: the first one's.
  std::int64_t matrix_of(std::int64_t task) const noexcept {
    return t_.matrices() - 1 - task / panel_blocks_ % t_.matrices();
  }
  std::int64_t first_panel(std::int64_t task) const noexcept {
    return task % panel_blocks_ * panels_per_task_;
  }
  std::int64_t weights_at(std::int64_t matrix, std::int64_t panel) const noexcept {
    return matrix * weight_point_ + panel * in_words_ * f_.columns;
  }

  void transform_output(const Call& call, std::byte* points, std::int64_t block,
                        std::int64_t task) const noexcept {
    TileSums<T> args = {.tiles = grid_.tiles(block, task, out_h_, out_w_, out_, out_top_, out_left_),
                        .image = call.operand<T>(operands_.result),
                        .points = outputs(points) + task * grid_.step() * out_row_,
                        .point_stride = out_point_,
                        .row_stride = out_row_,
                        .bias = forward_ ? call.operand<const float>(2) : nullptr,
                        .addend = fusion_.add && !forward_ ? call.operand<const T>(2) : nullptr};
    if (!stats_.any() && !fusion_.norm_epilogue) return t_.output(args);
    args.stats = operands_.stats<T>(fusion_, call, piece<float>(call.scratch, tables_));
    t_.output(args);
    if (!stats_.any()) return;
    const std::int64_t chunk = grid_.number(block, task);
    stats_.store(call.workspace + chunk_sums_, args.stats.sums, chunk, 0, out_);
    if (fusion_.moments)
      chunk_pixels(call)[chunk] = static_cast<float>(pixels_of(args.tiles, t_.output_step));
  }

  void merge(const Call& call, std::int64_t task) const noexcept {
    stats_.merge(
        call.workspace + chunk_sums_, task, g_.n * out_h_ * out_w_,
        [&](std::int64_t chunk) { return chunk_pixels(call)[chunk]; },
        call.operand<float>(operands_.result + 1));
  }

  ConvGeometry g_;
  bool forward_;
  ConvFusion fusion_;
  FusedOperands operands_;
  std::int64_t in_, out_;  // channels
  std::int64_t in_h_, in_w_, out_h_, out_w_;
  std::int64_t top_, left_, out_top_, out_left_;  // of the first tile in source and result
  const MatmulFunctions& f_;
  const PointFunctions<T>& p_;
  const WinogradFunctions<T>& t_;
  std::int64_t in_row_, out_row_;  // elements between tiles
  std::int64_t panels_, panels_per_task_ = 1, panel_blocks_ = 1;
  std::int64_t in_words_, weight_point_;  // words between matrices
  Grid grid_;
  std::int64_t in_point_, out_point_;                 // elements between points
  StatsSums stats_;                                   // chunks: tasks that write outputs
  std::vector<std::vector<std::int64_t>> points_of_;  // matrices
  std::vector<T> zeros_;
  std::vector<Row> rows_;
  std::vector<Segment> segments_;
  std::string name_;
  Layout workspace_, scratch_;
  std::int64_t blocks_ = 0, chunk_sums_ = 0, pixels_ = 0;  // in workspace
  std::int64_t own_block_ = 0, tables_ = 0;                // in scratch
};

}  // namespace

std::unique_ptr<Kernel> make_product(const ConvGeometry& g, bool forward, std::int64_t m, Isa isa,
                                     DType storage, const ConvFusion& fusion) {
  return make_stored<WinogradProduct>(storage, isa, g, forward, m, fusion);
}

}  // namespace resnet::kernels::conv::winograd

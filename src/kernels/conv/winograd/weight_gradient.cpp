#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/conv/winograd/grid.h"
#include "kernels/conv/winograd/transforms_simd.h"
#include "kernels/layout.h"
#include "kernels/matmul/matmul_simd.h"
#include "kernels/offset.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels::conv::winograd {
namespace {

// Transformed tiles of a shared block, both matrices: they stay in L3 between phases.
constexpr std::int64_t kGradientBlockBytes = 6 << 20;
// A chunk's own sums stay in L2 too.
constexpr std::int64_t local_sums(std::int64_t lanes) noexcept {
  return (lanes == 8 ? 512 : 768) << 10;
}
// Every shared block passes over the sums: where they are many, teams cannot have sums of their own.
constexpr std::int64_t kMostTeamSums = 16 << 20;
constexpr std::int64_t kChunks = 32;
constexpr std::int64_t kResultRows = 8;  // of a task of the result
constexpr std::int64_t kPieces = 64;     // tiles summed before the next squares of a weight gradient

// dw = sum over tiles of (input points) x (output gradient points), point by point, and back.
//
// Where the sums are few, a task is a chunk of small blocks with sums of its own, all in L2:
// phases [chunks], [sum of the chunks and result]. Else all threads share blocks that live in L3, a team
// being a chunk: for each round [transforms], [products], then [sum of the chunks and result].
template <class T>
class WinogradWeightGradient final : public Kernel {
 public:
  WinogradWeightGradient(const ConvGeometry& g, std::int64_t m, const ConvFusion& fusion, Isa isa)
      : g_(g),
        fusion_(fusion),
        f_(matmul_functions<T>(isa)),
        outer_(outer_functions<T>(isa)),
        p_(point_functions<T>(isa, cut_of(g, m, false))),
        t_(winograd_functions<T>(isa, cut_of(g, m, false))),
        x_row_(row_size<float>(g.ci)),
        y_row_(row_size<float>(g.co)),
        sum_point_(point_size<float>(g.ci * y_row_)),
        // Every shared block passes over the sums: where they are many, few blocks.
        grid_(g.n, g.ho(), g.wo(), t_.output_step, t_.points() * size<T>() * (x_row_ + y_row_),
              local_bytes(f_.lanes), sums_bytes() <= local_sums(f_.lanes),
              std::max(kGradientBlockBytes, sums_bytes()), sums_bytes() <= kMostTeamSums ? kTeams : 1, 1),
        chunks_(grid_.local() ? std::min(kChunks, grid_.blocks()) : grid_.teams()),
        x_point_(point_size<float>(words(grid_.most()) * x_row_)),
        y_point_(point_size<float>(words(grid_.most()) * y_row_)),
        square_rows_(ceil_div(g.ci, kColumnsPerTask)),
        square_columns_(ceil_div(g.co, kColumnsPerTask)),
        zeros_(static_cast<std::size_t>(std::max(g.ci, g.co)), T(0.0F)) {
    name_ = name_of("conv_weight_gradient", g, m, kSuffix<T>, fusion);
    points_of_ = points_by_matrix(t_);
    sums_ = workspace_.add<std::byte>(chunks_ * sums_bytes());
    blocks_ = workspace_.add<std::byte>(grid_.local() ? 0 : chunks_ * block_bytes());
    own_block_ = scratch_.add<std::byte>(grid_.local() ? block_bytes() : 0);
    for (std::int64_t i = 0; i < std::min(g.ci, kColumnsPerTask); ++i) {
      columns_.push_back({narrow(i), narrow(i * y_row_)});
    }
  }

  std::string_view name() const noexcept override { return name_; }
  std::int64_t workspace_bytes() const noexcept override { return workspace_.bytes(); }
  std::int64_t scratch_bytes() const noexcept override { return scratch_.bytes(); }
  int phases() const noexcept override {
    return grid_.local() ? 2 : static_cast<int>(2 * grid_.rounds() + 1);
  }
  std::int64_t tasks(int phase) const noexcept override {
    if (phase == phases() - 1) return ceil_div(g_.ci, kResultRows);
    if (grid_.local()) return chunks_;
    return grid_.teams() * (phase % 2 == 0 ? transform_tasks(0) : accumulate_tasks());
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    if (phase == phases() - 1) return finish(call, task);
    if (grid_.local()) return run_chunk(call, task);
    const std::int64_t round = phase / 2, each = phase % 2 == 0 ? transform_tasks(0) : accumulate_tasks();
    const std::int64_t team = task / each, block = grid_.block(team, round);
    auto* const points = piece<float>(call.workspace, blocks_ + team * block_bytes());
    task %= each;
    if (phase % 2 == 1) return accumulate(points, sums(call, team), block, task, round == 0);
    if (task < transform_tasks(block)) transform(call, points, block, task);
  }

 private:
  int result_at() const noexcept { return 2 + (fusion_.norm ? 1 : 0) + (fusion_.norm_gradient ? 2 : 0); }

  // Rows of `tiles` tiles.
  static std::int64_t words(std::int64_t tiles) noexcept { return ceil_div(tiles, kWord<T>); }

  std::int64_t sums_bytes() const noexcept { return size<float>() * t_.matrices() * sum_point_; }
  float* sums(const Call& call, std::int64_t chunk) const noexcept {
    return piece<float>(call.workspace, sums_ + chunk * sums_bytes());
  }
  // A block's points: those of x, then those of dy.
  std::int64_t block_bytes() const noexcept { return size<float>() * t_.points() * (x_point_ + y_point_); }
  float* gradients(float* points) const noexcept { return points + t_.points() * x_point_; }
  std::int64_t transform_tasks(std::int64_t block) const noexcept { return 2 * grid_.tasks(block); }
  std::int64_t accumulate_tasks() const noexcept { return t_.matrices() * square_rows_ * square_columns_; }

  void run_chunk(const Call& call, std::int64_t chunk) const noexcept {
    auto* const points = piece<float>(call.scratch, own_block_);
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
                       .table = fusion_.norm ? call.operand<const float>(2) : nullptr,
                       .floor = floor_of(fusion_)});
      return;
    }
    const TilePoints<T> dy = {.tiles = grid_.tiles(block, part, g_.ho(), g_.wo(), g_.co, 0, 0),
                              .image = call.operand<const T>(1),
                              .points = reinterpret_cast<T*>(gradients(points) + row * y_row_),
                              .point_stride = y_point_ * kWord<T>,
                              .row_stride = y_row_,
                              .zeros = zeros_.data()};
    if (!fusion_.norm_gradient) return p_.summed_output_gradient(dy);
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
        outer_.outer(args);
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
          outer_.add(sums(call, chunk) + at, sums(call, 0) + at, f_.padded_columns(g_.co));
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
  ConvFusion fusion_;
  const MatmulFunctions& f_;
  const OuterFunctions& outer_;
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
  Layout workspace_, scratch_;
  std::int64_t sums_ = 0, blocks_ = 0;  // in workspace
  std::int64_t own_block_ = 0;          // in scratch
};

}  // namespace

std::unique_ptr<Kernel> make_weight_gradient(const ConvGeometry& g, std::int64_t m, Isa isa, DType storage,
                                             const ConvFusion& fusion) {
  return make_stored<WinogradWeightGradient>(storage, isa, g, m, fusion);
}

}  // namespace resnet::kernels::conv::winograd

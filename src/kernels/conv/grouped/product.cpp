// Forward and input gradient: a task is a strip of rows and some sets of panels. For one set after the other
// it spreads what a block reads, and multiplies tiles of pixels.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/conv/grouped/grouped.h"
#include "kernels/conv/grouped/grouped_simd.h"
#include "kernels/conv/grouped/spread.h"
#include "kernels/conv/norm_stats/norm_stats.h"
#include "kernels/layout.h"
#include "kernels/offset.h"

namespace resnet::kernels::conv::grouped {
namespace {

constexpr std::int64_t kProductTasks = 64;

/// Neighbouring outputs of a row, and those of their phase's taps that are multiplied.
struct Run {
  std::int64_t begin, count;
  Range taps;
};

// Outputs of a phase, of a stripe, in tiles. `exact`: none meets a tap outside the source.
std::vector<Run> cut_runs(const Axis& axis, std::int64_t phase, Range stripe, bool exact) {
  std::vector<Run> runs;
  const auto taps = static_cast<std::int64_t>(axis.taps[static_cast<std::size_t>(phase)].size());
  const Range all = common(stripe, {0, axis.outputs(phase)});
  const Range inner = exact ? common(all, axis.inner(phase)) : all;
  const auto single = [&](std::int64_t q) { runs.push_back({q, 1, axis.meeting(phase, q)}); };
  for (std::int64_t q = all.begin; q < std::min(inner.begin, all.end); ++q) single(q);
  const std::int64_t length = inner.end - inner.begin, tiles = ceil_div(length, kTilePixels);
  for (std::int64_t t = 0; t < tiles; ++t) {
    const std::int64_t begin = inner.begin + length * t / tiles, end = inner.begin + length * (t + 1) / tiles;
    runs.push_back({begin, end - begin, {0, taps}});
  }
  for (std::int64_t q = std::max(inner.end, all.begin); q < all.end; ++q) single(q);
  return runs;
}

class GroupedProduct final : public Kernel {
 public:
  GroupedProduct(const ConvGeometry& g, ConvPass pass, Isa isa, ConvStorage storage, const ConvFusion& fusion)
      : g_(g),
        storage_(storage),
        forward_(pass == ConvPass::forward),
        isa_(isa),
        fusion_(fusion),
        operands_(fusion, forward_),
        spread_(spread_functions(isa, storage.in)),
        product_(product_functions(isa)),
        in_((forward_ ? g.ci : g.co) / g.groups),
        out_((forward_ ? g.co : g.ci) / g.groups),
        panels_(in_, out_, g.groups, product_.lanes),
        lanes_(panels_.lane_sources()),
        spreading_(make_axis(rows_of(g), forward_), make_axis(columns_of(g), forward_), in_, panels_.unit()),
        weight_floats_(g.kh * g.kw * in_ * product_.lanes) {
    const std::int64_t shared = g.n * spreading_.strips();
    set_blocks_ = std::clamp<std::int64_t>(ceil_div(kProductTasks, shared), 1, panels_.sets());
    x_ = scratch_.add<float>(spreading_.floats());
    if (storage.out == DType::bf16) tile_ = scratch_.add<float>(kTilePixels * product_.lanes);
    for (std::int64_t stripe = 0; stripe < spreading_.stripes(); ++stripe) {
      for (std::int64_t phase = 0; phase < columns().out_step; ++phase) {
        runs_.push_back(cut_runs(columns(), phase, spreading_.columns_of(stripe), false));
        exact_runs_.push_back(cut_runs(columns(), phase, spreading_.columns_of(stripe), true));
      }
    }
    for (std::int64_t y = 0; y < rows().out; ++y)
      row_taps_.push_back(rows().meeting(y % rows().out_step, y / rows().out_step));
    for (std::int64_t x = 0; fusion.norm_epilogue && x < columns().out; ++x)
      pixels_.push_back({.in = 0, .out = narrow(x * channels())});
    name_ = std::string(forward_ ? "conv_forward" : "conv_input_gradient") + "/grouped14x" +
            std::to_string(product_.lanes) + (storage.out == DType::bf16 ? "_bf16" : "") +
            (fusion.norm_epilogue ? "+apply" : "");
  }
  GroupedProduct(const GroupedProduct&) = delete;

  std::string_view name() const noexcept override { return name_; }
  std::int64_t prepared_bytes() const noexcept override {
    return panels_.count() * panel_floats() * std::int64_t{sizeof(float)};
  }
  std::int64_t prepare_tasks() const noexcept override { return panels_.count(); }
  bool prepares_from(std::size_t operand) const noexcept override {
    return operand == 1 || (operand == 2 && forward_);
  }
  std::int64_t scratch_bytes() const noexcept override { return scratch_.bytes(); }
  int phases() const noexcept override { return 2; }
  std::int64_t tasks(int phase) const noexcept override {
    return phase == 0 ? panels_.count() : g_.n * spreading_.strips() * set_blocks_;
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    if (phase == 0) {
      pack(call, task);
    } else if (storage_.in == DType::bf16) {
      multiply<BFloat16>(call, task);
    } else {
      multiply<float>(call, task);
    }
  }

 private:
  const Axis& rows() const noexcept { return spreading_.rows(); }
  const Axis& columns() const noexcept { return spreading_.columns(); }
  std::int64_t channels() const noexcept { return out_ * g_.groups; }  // of the result

  // A panel's weights, its bias, and a vector the first lane of which says whether all weights are finite.
  std::int64_t panel_floats() const noexcept { return weight_floats_ + 2 * product_.lanes; }
  float* packed(const Call& call, std::int64_t panel) const noexcept {
    return reinterpret_cast<float*>(call.prepared) + panel * panel_floats();
  }

  void pack(const Call& call, std::int64_t panel) const noexcept {
    const std::int64_t lanes = product_.lanes, first = panels_.first(panel), width = panels_.width(panel);
    const auto* w = call.operand<const float>(1);
    const auto* bias = forward_ ? call.operand<const float>(2) : nullptr;
    float* to = packed(call, panel);
    std::fill_n(to, weight_floats_ + lanes, 0.0F);
    for (std::int64_t l = 0; l < width; ++l) {
      const std::int64_t c = first + l;
      // Of tap t and j: w[t][j][c], or where the result is x w[t][c in its group][j in its group].
      const float* const from = forward_ ? w + c : w + c % out_ * g_.co + c / out_ * in_;
      const std::int64_t tap_stride = forward_ ? in_ * g_.co : out_ * g_.co, stride = forward_ ? g_.co : 1;
      for (std::int64_t tap = 0; tap < g_.kh * g_.kw; ++tap) {
        for (std::int64_t j = 0; j < in_; ++j)
          to[(tap * in_ + j) * lanes + l] = from[tap * tap_stride + j * stride];
      }
    }
    bool finite = true;
    for (std::int64_t i = 0; i < weight_floats_; ++i)
      finite &= std::abs(to[i]) <= std::numeric_limits<float>::max();
    to += weight_floats_;
    for (std::int64_t l = 0; bias != nullptr && l < width; ++l) to[l] = bias[first + l];
    std::fill_n(to + lanes, lanes, finite ? 1.0F : 0.0F);
  }

  template <class T>  // of the source
  void multiply(const Call& call, std::int64_t task) const noexcept {
    const std::int64_t part = task % set_blocks_, strip = task / set_blocks_ % spreading_.strips(),
                       image = task / set_blocks_ / spreading_.strips();
    const auto* source = call.operand<const T>(0) + image * rows().in * columns().in * in_ * g_.groups;
    const std::int64_t end = panels_.sets() * (part + 1) / set_blocks_;
    for (std::int64_t set = panels_.sets() * part / set_blocks_; set < end; ++set) {
      for (std::int64_t stripe = 0; stripe < spreading_.stripes(); ++stripe) {
        const Block block{spreading_.rows_of(strip), spreading_.columns_of(stripe)};
        spreading_.spread(spread_, panels_, set, lanes_.data(), source + panels_.first_source(set),
                          in_ * g_.groups, block, piece<float>(call.scratch, x_));
        for (std::int64_t i = 0; i < panels_.per_set(); ++i)
          multiply_panel(call, image, block, stripe, set * panels_.per_set() + i);
      }
      for (std::int64_t i = 0; fusion_.norm_epilogue && i < panels_.per_set(); ++i) {
        const std::int64_t panel = set * panels_.per_set() + i;
        storage_.out == DType::bf16 ? normalize<BFloat16>(call, image, strip, panel)
                                    : normalize<float>(call, image, strip, panel);
      }
    }
  }

  // Where pixel [y][0] of an image's result stands.
  std::int64_t row_at(std::int64_t image, std::int64_t y) const noexcept {
    return (image * rows().out + y) * columns().out * channels();
  }
  // The result's rows of a strip, of all phases.
  Range result_rows(Range q) const noexcept {
    return {q.begin * rows().out_step, std::min(rows().out, q.end * rows().out_step)};
  }

  void multiply_panel(const Call& call, std::int64_t image, const Block& block, std::int64_t stripe,
                      std::int64_t panel) const noexcept {
    const float* weights = packed(call, panel);
    const bool finite = weights[weight_floats_ + product_.lanes] != 0;
    const bool rounds = storage_.out == DType::bf16, adds = fusion_.add && !forward_;
    float* const tile_sums = piece<float>(call.scratch, tile_);
    const Range result_y = result_rows(block.rows);
    TileArgs args{.x = piece<float>(call.scratch, x_),
                  .channels = in_,
                  .plane = spreading_.plane(),
                  .weights = weights,
                  .kernel_columns = g_.kw,
                  .bias = weights + weight_floats_,
                  .width = rounds ? product_.lanes : panels_.width(panel),
                  .out = tile_sums,
                  .out_pixel = rounds ? product_.lanes : columns().out_step * channels()};
    for (std::int64_t phase = 0; phase < columns().out_step; ++phase) {
      const auto& runs =
          (finite ? runs_ : exact_runs_)[static_cast<std::size_t>(stripe * columns().out_step + phase)];
      for (const Run& run : runs) {
        args.columns = spreading_.column_taps(phase).data() + run.taps.begin;
        args.column_count = run.taps.end - run.taps.begin;
        const auto tile = (panels_.broadcast() ? product_.numbers : product_.vectors)[run.count];
        const std::int64_t x = run.begin * columns().out_step + phase;
        for (std::int64_t y = result_y.begin; y < result_y.end; ++y) {
          const Range taps = row_taps_[static_cast<std::size_t>(y)];
          args.rows = spreading_.row_taps(y % rows().out_step).data() + taps.begin;
          args.row_count = taps.end - taps.begin;
          args.at = spreading_.at(block, y / rows().out_step, run.begin);
          const std::int64_t at = row_at(image, y) + x * channels() + panels_.first(panel);
          if (!rounds) {
            args.out = call.operand<float>(operands_.result) + at;
            args.addend = adds ? call.operand<const float>(2) + at : nullptr;
          }
          tile(args);
          if (rounds) {
            round_(tile_sums, run.count, panels_.width(panel),
                   adds ? call.operand<const BFloat16>(2) + at : nullptr,
                   call.operand<BFloat16>(operands_.result) + at, columns().out_step * channels());
          }
        }
      }
    }
  }

  // A panel's part of a strip's result, while it is in the cache.
  template <class T>
  void normalize(const Call& call, std::int64_t image, std::int64_t strip,
                 std::int64_t panel) const noexcept {
    const StatsArgs<T> args = operands_.stats<T>(fusion_, call, nullptr);
    const Range result_y = result_rows(spreading_.rows_of(strip));
    const std::int64_t first = panels_.first(panel);
    for (std::int64_t y = result_y.begin; y < result_y.end; ++y) {
      apply_epilogue<T>(isa_, args, call.operand<T>(operands_.result), pixels_.data(), columns().out,
                        row_at(image, y), channels(), first, first + panels_.width(panel));
    }
  }

  ConvGeometry g_;
  ConvStorage storage_;
  bool forward_;
  Isa isa_;
  ConvFusion fusion_;
  FusedOperands operands_;
  const SpreadFunctions& spread_;
  const ProductFunctions& product_;
  RoundTile round_ = round_tile();  // of results in bf16
  std::int64_t in_, out_;           // channels of a group
  Panels panels_;
  std::vector<std::int32_t> lanes_;
  SpreadBlock spreading_;
  std::int64_t weight_floats_;  // of a panel
  std::int64_t set_blocks_ = 1;
  std::vector<std::vector<Run>> runs_, exact_runs_;  // of each stripe and phase
  std::vector<Range> row_taps_;                      // of each row of the result
  std::vector<Row> pixels_;                          // of a row
  Layout scratch_;
  std::int64_t x_ = 0, tile_ = 0;  // in scratch
  std::string name_;
};

}  // namespace

std::unique_ptr<Kernel> make_product(const ConvGeometry& g, ConvPass pass, Isa isa, ConvStorage storage,
                                     const ConvFusion& fusion) {
  return std::make_unique<GroupedProduct>(g, pass, isa, storage, fusion);
}

}  // namespace resnet::kernels::conv::grouped

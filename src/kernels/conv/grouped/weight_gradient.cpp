// Weight gradient: a task owns some sets of panels and some strips of images; its sums stand in scratch until
// all its strips are through.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/conv/grouped/grouped.h"
#include "kernels/conv/grouped/grouped_simd.h"
#include "kernels/conv/grouped/spread.h"
#include "kernels/layout.h"
#include "kernels/matmul/matmul_simd.h"

namespace resnet::kernels::conv::grouped {
namespace {

constexpr std::int64_t kSumBytes = 128 << 10;  // of a task
constexpr std::int64_t kGradientTasks = 32;
constexpr std::int64_t kSumFloats = 4096;  // of dw, a task of the final sum

class GroupedWeightGradient final : public Kernel {
 public:
  GroupedWeightGradient(const ConvGeometry& g, Isa isa, ConvStorage storage)
      : g_(g),
        storage_(storage),
        spread_(spread_functions(isa, storage.in)),
        pack_(spread_functions(isa, storage.out).pack),
        f_(sums_functions(isa)),
        outer_(outer_functions<float>(isa)),
        ci_(g.ci / g.groups),
        panels_(ci_, g.co / g.groups, g.groups, f_.lanes),
        lanes_(panels_.lane_sources()),
        spreading_(make_axis(rows_of(g), true), make_axis(columns_of(g), true), ci_, panels_.unit()),
        row_floats_(g.kw * ci_ * f_.lanes) {
    const std::int64_t set_bytes = panels_.per_set() * g.kh * row_floats_ * std::int64_t{sizeof(float)};
    sets_per_task_ = std::clamp<std::int64_t>(kSumBytes / set_bytes, 1, panels_.sets());
    set_blocks_ = ceil_div(panels_.sets(), sets_per_task_);
    parts_ = std::clamp<std::int64_t>(ceil_div(kGradientTasks, set_blocks_), 1, strips());
    for (std::int64_t j = 0; j < ci_; ++j) {
      for (const TapAt& tap : spreading_.column_taps(0)) {
        at_.push_back(j * spreading_.plane() + tap.x);
        sums_at_.push_back((tap.k * ci_ + j) * f_.lanes);
      }
    }
    partials_ = workspace_.add<float>((parts_ - 1) * dw_floats());
    x_ = scratch_.add<float>(spreading_.floats());
    dy_ = scratch_.add<float>(spreading_.height() * spreading_.width() * f_.lanes);
    sums_ = scratch_.add<float>(sets_per_task_ * panels_.per_set() * g.kh * row_floats_);
  }
  GroupedWeightGradient(const GroupedWeightGradient&) = delete;

  std::string_view name() const noexcept override {
    if (storage_.out == DType::bf16) return "conv_weight_gradient/grouped12x16_bf16";
    return f_.lanes == 8 ? "conv_weight_gradient/grouped12x8" : "conv_weight_gradient/grouped12x16";
  }
  std::int64_t workspace_bytes() const noexcept override { return workspace_.bytes(); }
  std::int64_t scratch_bytes() const noexcept override { return scratch_.bytes(); }
  int phases() const noexcept override { return parts_ == 1 ? 1 : 2; }
  std::int64_t tasks(int phase) const noexcept override {
    return phase == 0 ? parts_ * set_blocks_ : ceil_div(dw_floats(), kSumFloats);
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    if (phase == 1) {
      sum_parts(call, task);
    } else if (storage_.in == DType::bf16) {
      accumulate<BFloat16>(call, task);
    } else {
      accumulate<float>(call, task);
    }
  }

 private:
  const Axis& rows() const noexcept { return spreading_.rows(); }
  const Axis& columns() const noexcept { return spreading_.columns(); }
  std::int64_t strips() const noexcept { return g_.n * spreading_.strips(); }
  std::int64_t dw_floats() const noexcept { return g_.kh * g_.kw * ci_ * g_.co; }

  template <class X>
  void accumulate(const Call& call, std::int64_t task) const noexcept {
    const std::int64_t part = task / set_blocks_;
    const std::int64_t first = task % set_blocks_ * sets_per_task_,
                       end = std::min(panels_.sets(), first + sets_per_task_);
    float* const sums = piece<float>(call.scratch, sums_);  // [panel][kh][kw][j][lanes]
    std::fill_n(sums, (end - first) * panels_.per_set() * g_.kh * row_floats_, 0.0F);
    const std::int64_t end_strip = strips() * (part + 1) / parts_;
    for (std::int64_t number = strips() * part / parts_; number < end_strip; ++number) {
      const std::int64_t image = number / spreading_.strips(), strip = number % spreading_.strips();
      const auto* x = call.operand<const X>(0) + image * g_.h * g_.w * g_.ci;
      for (std::int64_t set = first; set < end; ++set) {
        for (std::int64_t stripe = 0; stripe < spreading_.stripes(); ++stripe) {
          const Block block{spreading_.rows_of(strip), spreading_.columns_of(stripe)};
          spreading_.spread(spread_, panels_, set, lanes_.data(), x + panels_.first_source(set), g_.ci, block,
                            piece<float>(call.scratch, x_));
          for (std::int64_t i = 0; i < panels_.per_set(); ++i) {
            add_panel(call, image, block, set * panels_.per_set() + i,
                      sums + ((set - first) * panels_.per_set() + i) * g_.kh * row_floats_);
          }
        }
      }
    }
    store(sums, first * panels_.per_set(), end * panels_.per_set(),
          part == 0 ? call.operand<float>(2) : partial(call, part));
  }

  void add_panel(const Call& call, std::int64_t image, const Block& block, std::int64_t panel,
                 float* sums) const noexcept {
    const std::int64_t width = block.columns.end - block.columns.begin;
    float* const dy = piece<float>(call.scratch, dy_);
    bool finite = true;
    for (std::int64_t y = block.rows.begin; y < block.rows.end; ++y) {
      const std::int64_t at =
          ((image * rows().out + y) * columns().out + block.columns.begin) * g_.co + panels_.first(panel);
      const void* const from = storage_.out == DType::bf16
                                   ? static_cast<const void*>(call.operand<const BFloat16>(1) + at)
                                   : call.operand<const float>(1) + at;
      finite &=
          pack_(from, g_.co, width, panels_.width(panel), dy + (y - block.rows.begin) * width * f_.lanes);
    }
    for (std::size_t t = 0; t < spreading_.row_taps(0).size(); ++t) {
      const Range met = common(block.rows, rows().valid(rows().taps[0][t], 0));
      if (met.begin == met.end) continue;
      const TapAt tap = spreading_.row_taps(0)[t];
      // Of the combinations [begin, end), over the columns `among`.
      const auto add = [&](std::int64_t begin, std::int64_t end, Range among) {
        if (among.begin == among.end) return;
        add_sums(
            {.x = piece<float>(call.scratch, x_) + (spreading_.at(block, met.begin, among.begin) + tap.x),
             .at = at_.data() + begin,
             .x_row = spreading_.row() * rows().source_step,
             .dy =
                 dy + ((met.begin - block.rows.begin) * width + among.begin - block.columns.begin) * f_.lanes,
             .dy_row = width * f_.lanes,
             .rows = met.end - met.begin,
             .columns = among.end - among.begin,
             .sums = sums + tap.k * row_floats_,
             .sums_at = sums_at_.data() + begin},
            end - begin);
      };
      const auto count = static_cast<std::int64_t>(at_.size());
      if (finite) {
        add(0, count, block.columns);
        continue;
      }
      for (std::int64_t i = 0; i < count; ++i)  // a zero of the padding would make a NaN
        add(i, i + 1,
            common(block.columns,
                   columns().valid(columns().taps[0][static_cast<std::size_t>(i % g_.kw)], 0)));
    }
  }

  // Of `count` combinations, in tiles as equal as possible.
  void add_sums(SumsArgs args, std::int64_t count) const noexcept {
    const std::int64_t tiles = ceil_div(count, kTileSums);
    const std::ptrdiff_t *at = args.at, *sums_at = args.sums_at;
    for (std::int64_t t = 0; t < tiles; ++t) {
      const std::int64_t begin = count * t / tiles, end = count * (t + 1) / tiles;
      args.at = at + begin;
      args.sums_at = sums_at + begin;
      (panels_.broadcast() ? f_.numbers : f_.vectors)[end - begin](args);
    }
  }

  void store(const float* sums, std::int64_t first, std::int64_t end, float* dw) const noexcept {
    for (std::int64_t panel = first; panel < end; ++panel) {
      float* to = dw + panels_.first(panel);
      for (std::int64_t row = 0; row < g_.kh * g_.kw * ci_; ++row, sums += f_.lanes, to += g_.co)
        std::memcpy(to, sums, static_cast<std::size_t>(panels_.width(panel)) * sizeof(float));
    }
  }

  void sum_parts(const Call& call, std::int64_t task) const noexcept {
    const std::int64_t begin = task * kSumFloats, count = std::min(kSumFloats, dw_floats() - begin);
    for (std::int64_t part = 1; part < parts_; ++part)
      outer_.add(partial(call, part) + begin, call.operand<float>(2) + begin, count);
  }
  float* partial(const Call& call, std::int64_t part) const noexcept {
    return piece<float>(call.workspace, partials_) + (part - 1) * dw_floats();
  }

  ConvGeometry g_;
  ConvStorage storage_;
  const SpreadFunctions& spread_;
  bool (*pack_)(const void*, std::int64_t, std::int64_t, std::int64_t, float*);  // of dy
  const SumsFunctions& f_;
  const OuterFunctions& outer_;
  std::int64_t ci_;  // of a group
  Panels panels_;
  std::vector<std::int32_t> lanes_;
  SpreadBlock spreading_;
  std::int64_t row_floats_;  // sums of a panel and a row of the kernel
  std::int64_t sets_per_task_ = 1, set_blocks_ = 1;
  std::int64_t parts_ = 1;                    // of the strips, summed in order at the end
  std::vector<std::ptrdiff_t> at_, sums_at_;  // of each j and column of the kernel
  Layout workspace_, scratch_;
  std::int64_t partials_ = 0;               // in workspace
  std::int64_t x_ = 0, dy_ = 0, sums_ = 0;  // in scratch
};

}  // namespace

std::unique_ptr<Kernel> make_weight_gradient(const ConvGeometry& g, Isa isa, ConvStorage storage) {
  return std::make_unique<GroupedWeightGradient>(g, isa, storage);
}

}  // namespace resnet::kernels::conv::grouped

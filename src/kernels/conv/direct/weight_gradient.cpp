// Weight gradient: dw = P^T * dy. A task owns some columns of P (taps and input channels), some
// output channels and some images; its sums stand in scratch until all its pixels are through.
#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>

#include "kernels/conv/direct/direct.h"
#include "kernels/conv/direct/index_tables.h"
#include "kernels/layout.h"
#include "kernels/matmul/matmul_simd.h"

namespace resnet::kernels::conv {
namespace {

// Sums of a task, columns of P x output channels: 144 KiB, so that they and a piece of both operands
// stay in L2.
constexpr std::int64_t kSums = 576 * 64;
constexpr std::int64_t kOutputs = 128;
// Rows of a block, about: enough images that the pixels of an edge make full pieces.
constexpr std::int64_t kRows = 4608;
constexpr std::int64_t kGradientTasks = 32;
constexpr std::int64_t kSumFloats = 4096;  // of dw, a task of the final sum

template <class X, class Y>
class DirectWeightGradient final : public Kernel {
 public:
  DirectWeightGradient(const ConvGeometry& g, Isa isa)
      : g_(g),
        f_(matmul_functions<float>(isa)),
        outer_(outer_functions<float>(isa)),
        accumulate_(accumulate_functions<X, Y>(isa)),
        ci_(g.ci / g.groups),
        co_(g.co / g.groups),
        panels_(f_.panels(co_)),
        panels_per_task_(std::min(panels_, kOutputs / f_.columns)),
        panel_blocks_((panels_ + panels_per_task_ - 1) / panels_per_task_),
        plan_(forward_problem(g), cut()) {
    chunks_ = static_cast<std::int64_t>(plan_.first_strip().size());
    for (const Chunk& chunk : plan_.first_strip()) {
      max_columns_ = std::max(max_columns_, chunk.k_end - chunk.k_begin);
    }
    const std::int64_t tasks = chunks_ * panel_blocks_ * g_.groups;
    parts_ = std::clamp<std::int64_t>((kGradientTasks + tasks - 1) / tasks, 1, plan_.blocks());
    partials_ = workspace_.add<float>((parts_ - 1) * dw_floats());
    sums_ = scratch_.add<float>(panels_per_task_ * f_.columns * max_columns_);
    packed_ = scratch_.add<float>(accumulate_.packed_floats(panels_per_task_));
  }

  std::string_view name() const noexcept override {
    if (std::is_same_v<Y, BFloat16>) return "conv_weight_gradient/patch6x64_bf16";
    return f_.lanes == 8 ? "conv_weight_gradient/patch6x16" : "conv_weight_gradient/patch6x64";
  }
  std::int64_t workspace_bytes() const noexcept override { return workspace_.bytes(); }
  std::int64_t scratch_bytes() const noexcept override { return scratch_.bytes(); }
  int phases() const noexcept override { return parts_ == 1 ? 1 : 2; }
  std::int64_t tasks(int phase) const noexcept override {
    if (phase == 1) return (dw_floats() + kSumFloats - 1) / kSumFloats;
    return parts_ * g_.groups * panel_blocks_ * chunks_;
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    phase == 0 ? accumulate(call, task) : sum_parts(call, task);
  }

 private:
  Cut cut() const {
    const std::int64_t balanced = g_.n * g_.ho() * g_.wo() / kGradientTasks;
    return {.columns = kSums / (panels_per_task_ * f_.columns),
            .rows = std::clamp(balanced, accumulate_.pixels, kRows),
            .column_stride = f_.columns};
  }

  std::int64_t dw_floats() const noexcept { return g_.kh * g_.kw * ci_ * g_.co; }

  void accumulate(const Call& call, std::int64_t task) const noexcept {
    // The chunk runs fastest: tasks that share images follow each other.
    const std::int64_t number = task % chunks_, part = task / chunks_ / panel_blocks_ / g_.groups;
    const std::int64_t first_panel = task / chunks_ % panel_blocks_ * panels_per_task_;
    const std::int64_t panels = std::min(panels_ - first_panel, panels_per_task_);
    const std::int64_t group = task / chunks_ / panel_blocks_ % g_.groups;
    const Chunk& shape = plan_.first_strip()[static_cast<std::size_t>(number)];
    const std::int64_t columns = shape.k_end - shape.k_begin, panel_sums = columns * f_.columns;
    const std::int64_t outputs = std::min(panels * f_.columns, co_ - first_panel * f_.columns);

    float* sums = piece<float>(call.scratch, sums_);  // [panel][column of P][column of the panel]
    std::fill_n(sums, panels * panel_sums, 0.0f);
    AccumulateArgs<X, Y> args;
    args.source_end = call.operand<const X>(0) + g_.n * g_.h * g_.w * g_.ci;
    args.outputs = outputs;
    args.sums = sums;
    args.sums_stride = panel_sums;
    args.packed = piece<float>(call.scratch, packed_);
    const std::int64_t end_block = plan_.blocks() * (part + 1) / parts_;
    for (std::int64_t b = plan_.blocks() * part / parts_; b < end_block; ++b) {
      const GemmPlan::Block block = plan_.block(b);
      args.source = call.operand<const X>(0) + block.in + group * ci_;
      args.dy = call.operand<const Y>(1) + block.out + group * co_ + first_panel * f_.columns;
      for (const RowSet& pixels : (*block.strip)[static_cast<std::size_t>(number)].row_sets) {
        args.columns = pixels.columns.data();
        args.column_count = static_cast<std::int64_t>(pixels.columns.size());
        const std::int64_t count = pixels.rows_per_image * block.images;
        const std::int64_t pieces = (count + accumulate_.pixels - 1) / accumulate_.pixels;
        for (std::int64_t piece = 0; piece < pieces; ++piece) {
          const std::int64_t begin = count * piece / pieces;
          args.pixels = pixels.rows.data() + begin;
          args.pixel_count = count * (piece + 1) / pieces - begin;
          accumulate_.accumulate(args);
        }
      }
    }
    // Part 0 stands in dw itself, the others in the workspace, in the layout of dw.
    float* dw = part == 0 ? call.operand<float>(2) : partial(call, part);
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      const float* from = sums + panel * panel_sums;
      float* to = dw + shape.k_begin * g_.co + group * co_ + (first_panel + panel) * f_.columns;
      const std::int64_t width = std::min(f_.columns, outputs - panel * f_.columns);
      for (std::int64_t k = 0; k < columns; ++k, from += f_.columns, to += g_.co) {
        std::memcpy(to, from, static_cast<std::size_t>(width) * sizeof(float));
      }
    }
  }

  void sum_parts(const Call& call, std::int64_t task) const noexcept {
    const std::int64_t begin = task * kSumFloats, count = std::min(kSumFloats, dw_floats() - begin);
    for (std::int64_t part = 1; part < parts_; ++part) {
      outer_.add(partial(call, part) + begin, call.operand<float>(2) + begin, count);
    }
  }

  float* partial(const Call& call, std::int64_t part) const noexcept {
    return piece<float>(call.workspace, partials_) + (part - 1) * dw_floats();
  }

  ConvGeometry g_;
  const MatmulFunctions& f_;
  const OuterFunctions& outer_;
  const AccumulateFunctions<X, Y>& accumulate_;
  std::int64_t ci_, co_;  // of one convolution group
  std::int64_t panels_, panels_per_task_, panel_blocks_;
  GemmPlan plan_;
  std::int64_t chunks_ = 1, max_columns_ = 0;
  std::int64_t parts_ = 1;  // of the images, summed in order at the end
  Layout workspace_, scratch_;
  std::int64_t partials_ = 0;           // in workspace
  std::int64_t sums_ = 0, packed_ = 0;  // in scratch
};

}  // namespace

std::unique_ptr<Kernel> make_direct_weight_gradient(const ConvGeometry& g, Isa isa, ConvStorage storage) {
  if (storage.out != DType::bf16) return std::make_unique<DirectWeightGradient<float, float>>(g, isa);
  if (storage.in != DType::bf16) return std::make_unique<DirectWeightGradient<float, BFloat16>>(g, isa);
  return std::make_unique<DirectWeightGradient<BFloat16, BFloat16>>(g, isa);
}

}  // namespace resnet::kernels::conv

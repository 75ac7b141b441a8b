// Forward and input gradient: out = P * w, each task computing one block of rows times a few panels. What is
// accumulated for a batch norm is read from a panel of the result while that is in the cache, and merged in a
// last phase.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "kernels/conv/direct/direct.h"
#include "kernels/conv/direct/index_tables.h"
#include "kernels/conv/direct/packed_product.h"
#include "kernels/conv/direct/repack.h"
#include "kernels/conv/norm_stats/norm_stats.h"
#include "kernels/layout.h"

namespace resnet::kernels::conv {
namespace {

// A block's part of the source stays in L2 (512 KiB) while all panels pass by.
constexpr std::int64_t kBlockBytes = 256 << 10;
constexpr std::int64_t kMaxRows = 1152;  // rows x one panel of the result: 72 KiB
constexpr std::int64_t kMinRows = 48;    // eight tiles, so that a panel is worth its way into the cache
constexpr std::int64_t kProductTasks = 64;
// So few blocks use weights up faster than the hardware fetches them ahead: measured on an Emerald Rapids,
// cold weights, one image: 495 to 392 us at 3x3 and 512 channels, 307 to 257 at 6x6 and 256.
constexpr std::int64_t kFewBlocks = 4;

// Where pixels are so few, tasks are only as many as panels. Where those are fewer than 8, half as wide ones
// give twice as many, for 3 to 6 % of one thread's time (Emerald Rapids, 256 channels on 6x6). AVX2 has no
// need of it: its panels have 16 columns.
bool narrow_panels(const ConvGeometry& g, std::int64_t columns) noexcept {
  constexpr std::int64_t kFewTasks = 8;
  return g.n * g.ho() * g.wo() <= 2 * kMinRows && columns > 32 && g.co / g.groups % columns == 0 &&
         g.co / columns < kFewTasks;
}

// Products are of T.
template <class T, class Out>
class DirectProduct final : public Kernel {
 public:
  DirectProduct(const ConvGeometry& g, ConvPass pass, Isa isa, const ConvFusion& fusion,
                const RepackedInput& source)
      : g_(g),
        forward_(pass == ConvPass::forward),
        isa_(isa),
        fusion_(fusion),
        operands_(fusion, forward_),
        source_(source),
        product_(g, pass, isa, source.form() == RepackedInput::Form::row_pairs,
                 forward_ && narrow_panels(g, matmul_functions<T>(isa).columns)),
        problem_(product_.problem()),
        plan_(problem_, cut()),
        stats_(fusion, problem_.out_c, plan_.blocks()) {
    const std::int64_t blocks = plan_.blocks() * g_.groups, panels = product_.panels();
    const std::int64_t parts = std::clamp<std::int64_t>((kProductTasks + blocks - 1) / blocks, 1, panels);
    panels_per_task_ = (panels + parts - 1) / parts;
    panel_blocks_ = (panels + panels_per_task_ - 1) / panels_per_task_;
    if (kRounded) count_pixels();
    repacked_ = workspace_.add<std::byte>(source_.bytes());
    chunk_sums_ = workspace_.add<std::byte>(stats_.bytes());
    sums_ = scratch_.add<float>(pixels_ * product_.functions().columns);
    tables_ = scratch_.add<std::byte>(stats_.scratch_bytes());
    name_ = std::string(forward_ ? "conv_forward" : "conv_input_gradient") +
            (product_.functions().lanes == 8 ? "/patch6x16" : "/patch6x64") + (kWord<T> == 2 ? "_bf16" : "") +
            (fusion.moments         ? "+moments"
             : fusion.norm_epilogue ? "+apply"
                                    : "") +
            (fusion.sums != ConvFusion::Sums::none ? "+sums" : "");
  }
  DirectProduct(const DirectProduct&) = delete;

  std::string_view name() const noexcept override { return name_; }
  std::int64_t prepared_bytes() const noexcept override { return product_.packed_bytes(); }
  std::int64_t prepare_tasks() const noexcept override { return product_.pack_tasks(); }
  bool prepares_from(std::size_t operand) const noexcept override {
    return operand == 1 || (operand == 2 && forward_);
  }
  std::int64_t workspace_bytes() const noexcept override { return workspace_.bytes(); }
  std::int64_t scratch_bytes() const noexcept override { return scratch_.bytes(); }
  int phases() const noexcept override { return stats_.any() ? 3 : 2; }
  std::int64_t tasks(int phase) const noexcept override {
    if (phase == 0) return product_.pack_tasks() + source_.tasks() + copy_tasks();
    if (phase == 2) return stats_.merge_tasks();
    return g_.groups * panel_blocks_ * plan_.blocks();
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    if (phase == 2) {
      stats_.merge(
          call.workspace + chunk_sums_, task, problem_.n * problem_.out_h * problem_.out_w,
          [&](std::int64_t block) { return pixels_of(plan_.block(block)); },
          call.operand<float>(operands_.result + 1));
    } else if (phase == 1) {
      multiply(call, task);
    } else {
      prepare(call, task);
    }
  }

 private:
  static constexpr bool kRounded = PackedProduct<T, Out>::kRounded;  // sums go through scratch
  static constexpr std::int64_t kSlice = 16 << 10;                   // numbers of a task

  void prepare(const Call& call, std::int64_t task) const noexcept {
    if (task < product_.pack_tasks()) {
      return product_.pack(call.operand<const float>(1), forward_ ? call.operand<const float>(2) : nullptr,
                           call.prepared, task);
    }
    task -= product_.pack_tasks();
    if (task < source_.tasks())
      return source_.repack(call.operand<const void>(0), call.workspace + repacked_, task);
    copy(call, task - source_.tasks());
  }

  std::int64_t result_size() const noexcept {
    return problem_.n * problem_.out_h * problem_.out_w * problem_.out_c;
  }
  std::int64_t copy_tasks() const noexcept { return adds_to_result() ? ceil_div(result_size(), kSlice) : 0; }
  // Where sums need no rounding they are added to the addend in the result's place.
  bool adds_to_result() const noexcept { return adds_before_rounding() && !kRounded; }
  // A forward pass adds behind a norm, in its epilogue.
  bool adds_before_rounding() const noexcept { return fusion_.add && !forward_; }
  Out* result(const Call& call) const noexcept { return call.operand<Out>(operands_.result); }

  // Calls visit(row tables, count) for the row sets that have each row of a block once.
  template <class Visit>
  static void for_rows(const GemmPlan::Block& block, const Visit& visit) noexcept {
    for (const Chunk& chunk : *block.strip) {
      for (const RowSet& set : chunk.row_sets) {
        if (set.first) visit(set.rows.data(), set.rows_per_image * block.images);
      }
    }
  }
  static std::int64_t pixels_of(const GemmPlan::Block& block) noexcept {
    std::int64_t pixels = 0;
    for_rows(block, [&](const Row*, std::int64_t count) { pixels += count; });
    return pixels;
  }

  // From the channels [begin, end) of a block's result; `tables`: of the task.
  void run_epilogue(const Call& call, std::int64_t number, std::int64_t begin, std::int64_t end,
                    float* tables) const noexcept {
    const GemmPlan::Block block = plan_.block(number);
    const std::int64_t channels = problem_.out_c;
    for (int which = 0; which < StatsSums::kKinds; ++which)
      std::fill(tables + which * channels + begin, tables + which * channels + end, 0.0F);
    if (fusion_.moments) {
      bool found = false;
      for_rows(block, [&](const Row* rows, std::int64_t count) {
        if (!std::exchange(found, true))
          find_shift(result(call) + block.out, rows, count, begin, end, tables);
      });
    }
    const StatsArgs<Out> args = operands_.stats<Out>(fusion_, call, tables);
    for_rows(block, [&](const Row* rows, std::int64_t count) {
      apply_epilogue<Out>(isa_, args, result(call), rows, count, block.out, channels, begin, end);
    });
    stats_.store(call.workspace + chunk_sums_, tables, number, begin, end);
  }

  // The mean of at most eight rows, spread over the first row set.
  static void find_shift(const Out* out, const Row* rows, std::int64_t count, std::int64_t begin,
                         std::int64_t end, float* shift) noexcept {
    const std::int64_t taken = std::min<std::int64_t>(count, 8);
    for (std::int64_t i = 0; i < taken; ++i) {
      const Out* row = out + rows[count * i / taken].out;
      for (std::int64_t c = begin; c < end; ++c)
        shift[c] += static_cast<float>(row[c]) / static_cast<float>(taken);
    }
  }

  void copy(const Call& call, std::int64_t task) const noexcept {
    const auto* from = call.operand<const Out>(2);
    if (from == result(call)) return;
    const std::int64_t begin = task * kSlice, end = std::min(result_size(), begin + kSlice);
    std::copy(from + begin, from + end, result(call) + begin);
  }

  // Pixels of the result between the first and the last of a block.
  void count_pixels() {
    for (std::int64_t b = 0; b < plan_.blocks(); ++b) {
      for (const Chunk& chunk : *plan_.block(b).strip) {
        for (const RowSet& set : chunk.row_sets) {
          for (const Row& row : set.rows) pixels_ = std::max(pixels_, row.out / problem_.out_c + 1);
        }
      }
    }
  }

  Cut cut() const {
    const std::int64_t in_pixels = problem_.in_h * problem_.in_w,
                       out_pixels = problem_.out_h * problem_.out_w;
    const std::int64_t floats_a_row = std::max<std::int64_t>(1, problem_.channels * in_pixels / out_pixels);
    const std::int64_t fitting =
        std::clamp<std::int64_t>(kBlockBytes / (4 * floats_a_row), 2 * kMinRows, kMaxRows);
    const std::int64_t panels = product_.functions().panels(problem_.out_c / g_.groups);
    const std::int64_t balanced = g_.n * out_pixels * panels * g_.groups / kProductTasks;
    return {.columns = product_.chunk_columns(),
            .rows = std::clamp<std::int64_t>(balanced, kMinRows, fitting),
            .column_stride = 0};
  }

  void multiply(const Call& call, std::int64_t task) const noexcept {
    const std::int64_t blocks = plan_.blocks();
    const GemmPlan::Block block = plan_.block(task % blocks);
    const std::int64_t part = task / blocks % panel_blocks_, group = task / blocks / panel_blocks_;
    const std::int64_t outputs = problem_.out_c / g_.groups;
    const std::int64_t end = std::min(product_.panels(), (part + 1) * panels_per_task_);
    for (std::int64_t panel = part * panels_per_task_; panel < end; ++panel) {
      const std::int64_t at = block.out + group * outputs + panel * product_.columns();
      const Out* addend = adds_to_result()         ? result(call)
                          : adds_before_rounding() ? call.operand<const Out>(2)
                                                   : nullptr;
      product_.multiply({.strip = block.strip,
                         .images = block.images,
                         .source = source_.of(call.operand<const void>(0), call.workspace + repacked_),
                         .packed = call.prepared,
                         .origin = block.in,
                         .group = group,
                         .panel = panel,
                         .streams = plan_.blocks() <= kFewBlocks,
                         .out = result(call) + at,
                         .addend = addend != nullptr ? addend + at : nullptr,
                         .sums = piece<float>(call.scratch, sums_)});
      const std::int64_t first = panel * product_.columns();
      if (stats_.any()) {
        run_epilogue(call, task % blocks, first, std::min(outputs, first + product_.columns()),
                     piece<float>(call.scratch, tables_));
      }
      if (fusion_.norm_epilogue) {
        const std::int64_t begin = group * outputs + first;
        normalize(call, block, begin, std::min((group + 1) * outputs, begin + product_.columns()));
      }
    }
  }

  // The channels [begin, end) of a block's result, while they are in the cache.
  void normalize(const Call& call, const GemmPlan::Block& block, std::int64_t begin,
                 std::int64_t end) const noexcept {
    const StatsArgs<Out> args = operands_.stats<Out>(fusion_, call, nullptr);
    for_rows(block, [&](const Row* rows, std::int64_t count) {
      apply_epilogue<Out>(isa_, args, result(call), rows, count, block.out, problem_.out_c, begin, end);
    });
  }

  ConvGeometry g_;
  bool forward_;
  Isa isa_;
  ConvFusion fusion_;
  FusedOperands operands_;
  RepackedInput source_;
  PackedProduct<T, Out> product_;
  const GemmProblem& problem_;  // in words
  GemmPlan plan_;
  StatsSums stats_;  // chunks: blocks
  std::string name_;
  std::int64_t panels_per_task_ = 1, panel_blocks_ = 1;
  std::int64_t pixels_ = 0;  // of the sums in scratch
  Layout workspace_, scratch_;
  std::int64_t repacked_ = 0, chunk_sums_ = 0;  // in workspace
  std::int64_t sums_ = 0, tables_ = 0;          // in scratch
};

}  // namespace

std::unique_ptr<Kernel> make_direct_product(const ConvGeometry& g, ConvPass pass, Isa isa,
                                            ConvStorage storage, const ConvFusion& fusion) {
  using Form = RepackedInput::Form;
  const auto source = [&](Form form) { return RepackedInput(g, pass, form, storage.in); };
  if (storage.out != DType::bf16)
    return std::make_unique<DirectProduct<float, float>>(g, pass, isa, fusion, source(Form::stored));
  const std::int64_t channels = (pass == ConvPass::forward ? g.ci : g.co) / g.groups;
  if (storage.in == DType::bf16 && channels % 2 == 0)
    return std::make_unique<DirectProduct<BFloat16, BFloat16>>(g, pass, isa, fusion, source(Form::stored));
  if (pass == ConvPass::forward && pairs_rows(g))
    return std::make_unique<DirectProduct<BFloat16, BFloat16>>(g, pass, isa, fusion, source(Form::row_pairs));
  return std::make_unique<DirectProduct<float, BFloat16>>(
      g, pass, isa, fusion, source(storage.in == DType::bf16 ? Form::widened : Form::stored));
}

}  // namespace resnet::kernels::conv

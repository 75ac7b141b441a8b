// Forward and input gradient: out = P * w, each task computing one block of rows times a few panels.
#include <algorithm>
#include <memory>

#include "kernels/conv/conv.h"
#include "kernels/conv/packed_product.h"
#include "kernels/conv/patches.h"

namespace resnet::kernels::conv {
namespace {

// A block's part of the source stays in the second level (512 KiB) while all panels pass by.
constexpr std::int64_t kBlockBytes = 256 << 10;
constexpr std::int64_t kMaxRows = 1152;  // rows x one panel of the result: 72 KiB
constexpr std::int64_t kMinRows = 48;    // eight tiles, so that a panel is worth its way into the cache
constexpr std::int64_t kEnoughTasks = 64;

// Products are of T.
template <class T, class Out>
class Product final : public Kernel {
 public:
  Product(const ConvGeometry& g, ConvPass pass, Isa isa, bool add, bool widen)
      : g_(g),
        forward_(pass == ConvPass::forward),
        add_(add),
        product_(g, pass, isa, widen),
        problem_(product_.problem()),
        plan_(problem_, cut()) {
    const std::int64_t blocks = plan_.blocks() * g_.groups, panels = product_.panels();
    const std::int64_t parts = std::clamp<std::int64_t>((kEnoughTasks + blocks - 1) / blocks, 1, panels);
    panels_per_task_ = (panels + parts - 1) / parts;
    panel_blocks_ = (panels + panels_per_task_ - 1) / panels_per_task_;
    if (kRounded) count_pixels();
  }
  Product(const Product&) = delete;

  std::string_view name() const noexcept override {
    if (kWord<T> == 2) return forward_ ? "conv_forward/patch6x64_bf16" : "conv_input_gradient/patch6x64_bf16";
    if (product_.functions().lanes == 8)
      return forward_ ? "conv_forward/patch6x16" : "conv_input_gradient/patch6x16";
    return forward_ ? "conv_forward/patch6x64" : "conv_input_gradient/patch6x64";
  }
  std::int64_t workspace_bytes() const noexcept override { return product_.prepared_bytes(); }
  std::int64_t scratch_bytes() const noexcept override {
    return static_cast<std::int64_t>(sizeof(float)) * pixels_ * product_.functions().columns;
  }
  int phases() const noexcept override { return 2; }
  std::int64_t tasks(int phase) const noexcept override {
    if (phase == 0) return product_.prepare_tasks() + copy_tasks();
    return g_.groups * panel_blocks_ * plan_.blocks();
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    if (phase == 1) {
      multiply(call, task);
    } else if (task < product_.prepare_tasks()) {
      product_.prepare(call.operand<const void>(0), call.operand<const float>(1),
                       forward_ ? call.operand<const float>(2) : nullptr, call.workspace, task);
    } else {
      copy(call, task - product_.prepare_tasks());
    }
  }

 private:
  static constexpr bool kRounded = PackedProduct<T, Out>::kRounded;  // sums go through scratch
  static constexpr std::int64_t kSlice = 16 << 10;                   // numbers of a task

  std::int64_t result_size() const noexcept {
    return problem_.n * problem_.out_h * problem_.out_w * problem_.out_c;
  }
  std::int64_t copy_tasks() const noexcept { return adds_to_result() ? ceil_div(result_size(), kSlice) : 0; }
  // Where sums need no rounding they are added to the addend in the result's place.
  bool adds_to_result() const noexcept { return add_ && !kRounded; }
  Out* result(const Call& call) const noexcept { return call.operand<Out>(forward_ || add_ ? 3 : 2); }

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
        for (const Group& group : chunk.groups) {
          for (const Row& row : group.rows) pixels_ = std::max(pixels_, row.out / problem_.out_c + 1);
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
    const std::int64_t balanced = g_.n * out_pixels * product_.panels() * g_.groups / kEnoughTasks;
    return {.columns = product_.chunk_columns(),
            .rows = std::clamp<std::int64_t>(balanced, kMinRows, fitting),
            .column_stride = 0};
  }

  void multiply(const Call& call, std::int64_t task) const noexcept {
    const std::int64_t blocks = plan_.blocks();
    const PatchPlan::Block block = plan_.block(task % blocks);
    const std::int64_t part = task / blocks % panel_blocks_, group = task / blocks / panel_blocks_;
    const std::int64_t outputs = problem_.out_c / g_.groups;
    const std::int64_t end = std::min(product_.panels(), (part + 1) * panels_per_task_);
    for (std::int64_t panel = part * panels_per_task_; panel < end; ++panel) {
      const std::int64_t at = block.out + group * outputs + panel * product_.functions().columns;
      const Out* addend = adds_to_result() ? result(call) : add_ ? call.operand<const Out>(2) : nullptr;
      product_.multiply({.strip = block.strip,
                         .images = block.images,
                         .source = call.operand<const void>(0),
                         .prepared = call.workspace,
                         .origin = block.in,
                         .group = group,
                         .panel = panel,
                         .out = result(call) + at,
                         .addend = addend != nullptr ? addend + at : nullptr,
                         .sums = reinterpret_cast<float*>(call.scratch)});
    }
  }

  ConvGeometry g_;
  bool forward_, add_;
  PackedProduct<T, Out> product_;
  const PatchProblem& problem_;  // in words
  PatchPlan plan_;
  std::int64_t panels_per_task_ = 1, panel_blocks_ = 1;
  std::int64_t pixels_ = 0;  // of the sums in scratch
};

}  // namespace

std::unique_ptr<Kernel> make_patch_product(const ConvGeometry& g, ConvPass pass, Isa isa, ConvStorage storage,
                                           bool add) {
  if (storage.out != DType::bf16) return std::make_unique<Product<float, float>>(g, pass, isa, add, false);
  const std::int64_t channels = (pass == ConvPass::forward ? g.ci : g.co) / g.groups;
  if (storage.in == DType::bf16 && channels % 2 == 0)
    return std::make_unique<Product<BFloat16, BFloat16>>(g, pass, isa, add, false);
  return std::make_unique<Product<float, BFloat16>>(g, pass, isa, add, storage.in == DType::bf16);
}

}  // namespace resnet::kernels::conv

// Forward and input gradient: out = P * w, with the weights packed once a call into panels as wide
// as the tile, and each task computing one block of rows times a few panels.
#include <algorithm>
#include <cstring>
#include <memory>

#include "kernels/conv/conv.h"
#include "kernels/conv/conv_simd.h"
#include "kernels/conv/patches.h"

namespace resnet::kernels::conv {
namespace {

// A panel's part of one chunk stays in the first-level cache (32 KiB on the smallest machine we care
// for) while many tiles pass by: 256 columns x 64 bytes with AVX2, 128 x 256 bytes with AVX-512.
constexpr std::int64_t kPanelBytes = 16 << 10;
constexpr std::int64_t kWidePanelBytes = 32 << 10;
// A block's part of the source stays in the second level (512 KiB) while all panels pass by.
constexpr std::int64_t kBlockBytes = 256 << 10;
constexpr std::int64_t kMaxRows = 1152;  // rows x one panel of the result: 72 KiB
constexpr std::int64_t kMinRows = 48;    // eight tiles, so that a panel is worth its way into the cache
constexpr std::int64_t kEnoughTasks = 64;

class Product final : public Kernel {
 public:
  Product(const ConvGeometry& g, ConvPass pass, Isa isa)
      : g_(g),
        forward_(pass == ConvPass::forward),
        f_(conv_functions(isa)),
        problem_(forward_ ? forward_problem(g) : input_gradient_problem(g)),
        outputs_((forward_ ? g.co : g.ci) / g.groups),
        panels_(f_.panels(outputs_)),
        plan_(problem_, cut()),
        columns_(plan_.columns()),
        packed_panel_(columns_ * f_.columns) {
    const std::int64_t blocks = plan_.blocks() * g_.groups;
    const std::int64_t parts = std::clamp<std::int64_t>((kEnoughTasks + blocks - 1) / blocks, 1, panels_);
    panels_per_task_ = (panels_ + parts - 1) / parts;
    panel_blocks_ = (panels_ + panels_per_task_ - 1) / panels_per_task_;
  }

  std::string_view name() const noexcept override {
    if (f_.lanes == 8) return forward_ ? "conv_forward/patch6x16" : "conv_input_gradient/patch6x16";
    return forward_ ? "conv_forward/patch6x64" : "conv_input_gradient/patch6x64";
  }
  std::int64_t workspace_bytes() const noexcept override {
    return static_cast<std::int64_t>(sizeof(float)) * g_.groups * panels_ * (packed_panel_ + f_.columns);
  }
  int phases() const noexcept override { return 2; }
  std::int64_t tasks(int phase) const noexcept override {
    if (phase == 0) return g_.groups * panels_ * static_cast<std::int64_t>(problem_.taps.size());
    return g_.groups * panel_blocks_ * plan_.blocks();
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    phase == 0 ? pack(call, task) : multiply(call, task);
  }

 private:
  Cut cut() const {
    const std::int64_t in_pixels = problem_.in_h * problem_.in_w,
                       out_pixels = problem_.out_h * problem_.out_w;
    const std::int64_t floats_a_row = std::max<std::int64_t>(1, problem_.channels * in_pixels / out_pixels);
    const std::int64_t fitting =
        std::clamp<std::int64_t>(kBlockBytes / (4 * floats_a_row), 2 * kMinRows, kMaxRows);
    const std::int64_t balanced = g_.n * out_pixels * panels_ * g_.groups / kEnoughTasks;
    const std::int64_t panel_bytes = f_.lanes == 8 ? kPanelBytes : kWidePanelBytes;
    return {.columns = panel_bytes / (4 * f_.columns),
            .rows = std::clamp<std::int64_t>(balanced, kMinRows, fitting),
            .column_stride = 0};
  }

  float* packed_weights(const Call& call, std::int64_t group, std::int64_t panel) const noexcept {
    return reinterpret_cast<float*>(call.workspace) + (group * panels_ + panel) * packed_panel_;
  }
  float* packed_bias(const Call& call, std::int64_t group, std::int64_t panel) const noexcept {
    return reinterpret_cast<float*>(call.workspace) + g_.groups * panels_ * packed_panel_ +
           (group * panels_ + panel) * f_.columns;
  }
  std::int64_t panel_columns(std::int64_t panel) const noexcept {
    return std::min(f_.columns, outputs_ - panel * f_.columns);
  }

  // One tap of one panel, and with the first tap the panel's bias.
  void pack(const Call& call, std::int64_t task) const noexcept {
    const auto taps = static_cast<std::int64_t>(problem_.taps.size());
    const std::int64_t t = task % taps, panel = task / taps % panels_, group = task / taps / panels_;
    const Tap tap = problem_.taps[static_cast<std::size_t>(t)];
    const std::int64_t columns = panel_columns(panel), padded = f_.padded_columns(columns);
    const std::int64_t first = panel * f_.columns;
    const std::int64_t ci = g_.ci / g_.groups, co = g_.co / g_.groups, channels = problem_.channels;
    const float* w = call.operand<const float>(1) + (tap.ky * g_.kw + tap.kx) * ci * g_.co + group * co;
    float* to = packed_weights(call, group, panel) + t * channels * padded;
    for (std::int64_t k = 0; k < channels; ++k, to += padded) {
      if (forward_) {
        std::memcpy(to, w + k * g_.co + first, static_cast<std::size_t>(columns) * sizeof(float));
      } else {
        for (std::int64_t j = 0; j < columns; ++j) to[j] = w[(first + j) * g_.co + k];
      }
      std::fill(to + columns, to + padded, 0.0f);
    }
    if (t != 0) return;
    float* to_bias = packed_bias(call, group, panel);
    const float* bias = forward_ ? call.operand<const float>(2) : nullptr;
    for (std::int64_t j = 0; j < padded; ++j) {
      to_bias[j] = bias != nullptr && j < columns ? bias[group * co + first + j] : 0.0f;
    }
  }

  void multiply(const Call& call, std::int64_t task) const noexcept {
    const std::int64_t blocks = plan_.blocks();
    const PatchPlan::Block block = plan_.block(task % blocks);
    const std::int64_t part = task / blocks % panel_blocks_, group = task / blocks / panel_blocks_;
    const float* source = call.operand<const float>(0) + block.in + group * problem_.channels;
    float* out = call.operand<float>(forward_ ? 3 : 2) + block.out + group * outputs_;
    const std::int64_t end = std::min(panels_, (part + 1) * panels_per_task_);
    for (std::int64_t panel = part * panels_per_task_; panel < end; ++panel) {
      MultiplyArgs args;
      args.source = source;
      args.out = out + panel * f_.columns;
      args.columns = panel_columns(panel);
      args.panel = packed_weights(call, group, panel);
      for (const Chunk& chunk : *block.strip) {
        for (const Group& rows : chunk.groups) {
          args.rows = rows.rows.data();
          args.count = rows.rows_per_image * block.images;
          args.segments = rows.segments.data();
          args.segment_count = static_cast<std::int64_t>(rows.segments.size());
          args.bias = rows.first ? packed_bias(call, group, panel) : nullptr;
          f_.multiply(args);
        }
      }
    }
  }

  ConvGeometry g_;
  bool forward_;
  const ConvFunctions& f_;
  PatchProblem problem_;
  std::int64_t outputs_;  // of one convolution group
  std::int64_t panels_;
  PatchPlan plan_;
  std::int64_t columns_;       // of the patch matrix
  std::int64_t packed_panel_;  // floats between panels
  std::int64_t panels_per_task_ = 1, panel_blocks_ = 1;
};

}  // namespace

std::unique_ptr<Kernel> make_patch_product(const ConvGeometry& g, ConvPass pass, Isa isa) {
  return std::make_unique<Product>(g, pass, isa);
}

}  // namespace resnet::kernels::conv

// Forward and input gradient: out = P * w, with the weights packed once a call into panels as wide
// as the tile, and each task computing one block of rows times a few panels.
//
// With bf16 a word of the product is a pair of channels, and a block's sums stand in scratch as f32 until
// all their chunks are through.
#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <type_traits>

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

// The geometry whose channels of the pass's source are the words.
template <class T>
ConvGeometry in_words(ConvGeometry g, bool forward) {
  (forward ? g.ci : g.co) /= kWord<T>;
  return g;
}

// Products are of T.
template <class T, class Out>
class Product final : public Kernel {
 public:
  Product(const ConvGeometry& g, ConvPass pass, Isa isa, bool add, bool widen)
      : g_(g),
        forward_(pass == ConvPass::forward),
        add_(add),
        widen_(widen),
        f_(conv_functions<T>(isa)),
        problem_(forward_ ? forward_problem(in_words<T>(g, true))
                          : input_gradient_problem(in_words<T>(g, false))),
        outputs_((forward_ ? g.co : g.ci) / g.groups),
        panels_(f_.panels(outputs_)),
        plan_(problem_, cut()),
        columns_(plan_.columns()),
        packed_panel_(columns_ * f_.columns) {
    const std::int64_t blocks = plan_.blocks() * g_.groups;
    const std::int64_t parts = std::clamp<std::int64_t>((kEnoughTasks + blocks - 1) / blocks, 1, panels_);
    panels_per_task_ = (panels_ + parts - 1) / parts;
    panel_blocks_ = (panels_ + panels_per_task_ - 1) / panels_per_task_;
    if (kRounded) count_pixels();
  }

  std::string_view name() const noexcept override {
    if (kWord<T> == 2) return forward_ ? "conv_forward/patch6x64_bf16" : "conv_input_gradient/patch6x64_bf16";
    if (f_.lanes == 8) return forward_ ? "conv_forward/patch6x16" : "conv_input_gradient/patch6x16";
    return forward_ ? "conv_forward/patch6x64" : "conv_input_gradient/patch6x64";
  }
  std::int64_t workspace_bytes() const noexcept override {
    return static_cast<std::int64_t>(sizeof(float)) * (packed_floats() + (widen_ ? source_size() : 0));
  }
  std::int64_t scratch_bytes() const noexcept override {
    return static_cast<std::int64_t>(sizeof(float)) * pixels_ * f_.columns;
  }
  int phases() const noexcept override { return 2; }
  std::int64_t tasks(int phase) const noexcept override {
    if (phase == 0) return pack_tasks() + widen_tasks() + copy_tasks();
    return g_.groups * panel_blocks_ * plan_.blocks();
  }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    if (phase == 1) {
      multiply(call, task);
    } else if (task < pack_tasks()) {
      pack(call, task);
    } else if (task < pack_tasks() + widen_tasks()) {
      widen(call, task - pack_tasks());
    } else {
      copy(call, task - pack_tasks() - widen_tasks());
    }
  }

 private:
  static constexpr bool kRounded = std::is_same_v<Out, BFloat16>;  // sums go through scratch
  static constexpr std::int64_t kSlice = 16 << 10;                 // numbers of a task

  std::int64_t pack_tasks() const noexcept {
    return g_.groups * panels_ * static_cast<std::int64_t>(problem_.taps.size());
  }
  std::int64_t packed_floats() const noexcept { return g_.groups * panels_ * (packed_panel_ + f_.columns); }
  std::int64_t source_size() const noexcept {
    return problem_.n * problem_.in_h * problem_.in_w * problem_.in_c;
  }

  std::int64_t result_size() const noexcept {
    return problem_.n * problem_.out_h * problem_.out_w * problem_.out_c;
  }
  std::int64_t widen_tasks() const noexcept { return widen_ ? ceil_div(source_size(), kSlice) : 0; }
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

  // A source of bf16 whose channels make no pairs.
  void widen(const Call& call, std::int64_t task) const noexcept {
    const auto* from = call.operand<const BFloat16>(0);
    float* to = widened(call);
    const std::int64_t end = std::min(source_size(), (task + 1) * kSlice);
    for (std::int64_t i = task * kSlice; i < end; ++i) to[i] = static_cast<float>(from[i]);
  }
  float* widened(const Call& call) const noexcept {
    return reinterpret_cast<float*>(call.workspace) + packed_floats();
  }

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
      if constexpr (kWord<T> == 2) {
        const std::int64_t next = forward_ ? g_.co : 1;
        for (std::int64_t j = 0; j < columns; ++j) {
          const float* pair = forward_ ? w + 2 * k * g_.co + first + j : w + (first + j) * g_.co + 2 * k;
          to[j] = word(pair[0], pair[next]);
        }
      } else if (forward_) {
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

  static float word(float low, float high) noexcept {
    return std::bit_cast<float>(std::uint32_t{BFloat16(low).bits} | std::uint32_t{BFloat16(high).bits}
                                                                        << 16U);
  }

  void multiply(const Call& call, std::int64_t task) const noexcept {
    const std::int64_t blocks = plan_.blocks();
    const PatchPlan::Block block = plan_.block(task % blocks);
    const std::int64_t part = task / blocks % panel_blocks_, group = task / blocks / panel_blocks_;
    const float* source =
        (widen_ ? widened(call) : call.operand<const float>(0)) + block.in + group * problem_.channels;
    Out* out = result(call) + block.out + group * outputs_;
    const std::int64_t end = std::min(panels_, (part + 1) * panels_per_task_);
    for (std::int64_t panel = part * panels_per_task_; panel < end; ++panel) {
      MultiplyArgs args;
      args.source = source;
      if constexpr (kRounded) {
        args.out = reinterpret_cast<float*>(call.scratch);
        args.out_pixel = problem_.out_c;
      } else {
        args.out = out + panel * f_.columns;
      }
      args.columns = panel_columns(panel);
      args.panel = packed_weights(call, group, panel);
      for (const Chunk& chunk : *block.strip) {
        for (const Group& rows : chunk.groups) {
          args.rows = rows.rows.data();
          args.count = rows.rows_per_image * block.images;
          args.segments = rows.segments.data();
          args.segment_count = static_cast<std::int64_t>(rows.segments.size());
          args.bias = rows.first && !adds_to_result() ? packed_bias(call, group, panel) : nullptr;
          f_.multiply(args);
        }
      }
      if constexpr (kRounded) {
        const std::int64_t at = out - result(call) + panel * f_.columns;
        round(block, args, add_ ? call.operand<const Out>(2) + at : nullptr, result(call) + at);
      }
    }
  }

  // Every row has one group that is its first.
  void round(const PatchPlan::Block& block, const MultiplyArgs& args, const BFloat16* addend,
             BFloat16* out) const noexcept {
    for (const Chunk& chunk : *block.strip) {
      for (const Group& rows : chunk.groups) {
        if (!rows.first) continue;
        for (std::int64_t i = 0; i < rows.rows_per_image * block.images; ++i) {
          const std::int64_t at = rows.rows[static_cast<std::size_t>(i)].out;
          round_to_bf16(args.out + at / problem_.out_c * f_.columns,
                        addend != nullptr ? addend + at : nullptr, out + at, args.columns);
        }
      }
    }
  }

  ConvGeometry g_;
  bool forward_, add_, widen_;
  const ConvFunctions& f_;
  PatchProblem problem_;  // in words
  std::int64_t outputs_;  // of one convolution group
  std::int64_t panels_;
  PatchPlan plan_;
  std::int64_t columns_;       // of the patch matrix
  std::int64_t packed_panel_;  // floats between panels
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

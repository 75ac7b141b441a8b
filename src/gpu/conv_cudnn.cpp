#include "gpu/conv_cudnn.h"

#include "gpu/copies.h"
#include "gpu/cudnn.h"
#include "plan/plan.h"

namespace resnet::gpu {
namespace {

using device::TransposeArgs;
using kernels::ConvGeometry;
using kernels::ConvPass;

// Weights in cuDNN's order, [co][kh][kw][ci]: a copy of ours; a gradient of them stands at the front of the
// workspace, and its own workspace behind it.
struct Weights {
  std::int64_t rows, columns;  // of ours: taps x ci, co
  bool bf16;                   // cuDNN's
  bool gradient;               // of them

  std::int64_t bytes() const {
    return gradient ? plan::aligned(rows * columns * (bf16 ? 2 : 4), kAlignment) : 0;
  }
  void* behind(const Recorder& r) const { return r.workspace<void>(bytes()); }

  void* copy(const Recorder& r, const void* ours) const {
    return r.copies().of(ours, rows, columns,
                         bf16 ? device::CopyForm::transposed_bf16 : device::CopyForm::transposed_f32);
  }
  void to_ours(Recorder& r, void* ours) const {
    constexpr std::int64_t kSide = device::kTransposeTile;
    r.launch(bf16 ? KernelId::transpose_of_bf16 : KernelId::transpose_f32,
             divided(rows, kSide) * divided(columns, kSide),
             TransposeArgs{r.workspace<void>(), ours, columns, rows}, device::kTransposeBytes);
  }
};

// A pass as it is recorded.
struct Planned {
  resnet_convolution what;
  Weights weights;
  DType storage;
  bool more;
  std::int64_t rows_x, rows_y;  // pixels of x and y

  void forward(Recorder& r) const {
    const int y = 3;
    r.convolve(what, {r.operand(0), weights.copy(r, r.operand(1)), r.operand(y), weights.behind(r)});
    if (!more) return;
    r.launch(kernel_of(KernelId::add_bias_f32, storage), sweep_blocks(rows_y * what.co, pack_of(storage)),
             device::BiasArgs{r.operand<const float>(2), r.operand(y), rows_y, what.co});
  }

  void input_gradient(Recorder& r) const {
    void* const dx = r.operand(more ? 3 : 2);
    if (more && r.operand(2) != dx) {
      const std::int64_t c = what.ci;
      r.launch(kernel_of(KernelId::copy_channels_f32, storage), sweep_blocks(rows_x * c),
               device::ChannelsArgs{
                   .from = r.operand(2), .to = dx, .rows = rows_x, .from_all = c, .to_all = c, .c = c});
    }
    r.convolve(what, {dx, weights.copy(r, r.operand(1)), r.operand(0), weights.behind(r)});
  }

  void weight_gradient(Recorder& r) const {
    r.convolve(what, {r.operand(0), r.workspace<void>(), r.operand(1), weights.behind(r)});
    weights.to_ours(r, r.operand(2));
  }

  void record(Recorder& r) const {
    switch (static_cast<ConvPass>(what.pass)) {
      case ConvPass::forward:
        return forward(r);
      case ConvPass::input_gradient:
        return input_gradient(r);
      case ConvPass::weight_gradient:
        return weight_gradient(r);
    }
  }
};

std::string name_of(ConvPass pass, bool bf16, bool more) {
  const std::string type = bf16 ? "_bf16" : "_tf32";
  if (pass == ConvPass::forward) return "cudnn_forward" + type + (more ? "+bias" : "");
  if (pass == ConvPass::input_gradient) return "cudnn_input_gradient" + type + (more ? "+add" : "");
  return "cudnn_weight_gradient" + type;
}

}  // namespace

ByCudnn by_cudnn(ConvPass pass, const ConvGeometry& g, DType in, DType out, bool more,
                 const Machine& machine) {
  const bool bf16 = in == DType::bf16;
  if (machine.cudnn.architecture == 0 || in != out || (!bf16 && machine.products != Products::tf32))
    return {};
  const CudnnLine* const line = find_cudnn_line(machine.cudnn.architecture, pass, bf16, g);
  if (line == nullptr) return {};
  const CudnnChoice choice = choice_of(*line, g, more && pass == ConvPass::input_gradient);
  const std::string engine = "cuDNN's engine " + std::to_string(line->engine);
  if (machine.cudnn.prepare) {
    const std::string why = machine.cudnn.prepare(choice.what, choice.workspace_bytes);
    if (!why.empty()) return {.why_not = "; not " + engine + ": " + why};
  }
  const Planned planned{
      .what = choice.what,
      .weights = {g.kh * g.kw * (g.ci / g.groups), g.co, bf16, pass == ConvPass::weight_gradient},
      .storage = in,
      .more = more,
      .rows_x = g.n * g.h * g.w,
      .rows_y = g.n * g.ho() * g.wo()};
  // Of 32-bit integers alone: there is nothing between them.
  const std::string variant(reinterpret_cast<const char*>(&planned.what), sizeof planned.what);
  return {.lowering = lowered({.name = name_of(pass, bf16, more),
                               .variant = variant,
                               .record = [planned](Recorder& r) { planned.record(r); },
                               .workspace_bytes = planned.weights.bytes() + choice.workspace_bytes},
                              engine + ", weights transposed")};
}

}  // namespace resnet::gpu

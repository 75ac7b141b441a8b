#include "gpu/conv3x3.h"

#include <limits>

#include "base/text.h"
#include "gpu/copies.h"
#include "gpu/parts.h"

namespace resnet::gpu {
namespace {

using device::Conv3x3Args;
using device::Conv3x3WeightsArgs;
using kernels::ConvGeometry;
using ops::Gate;

constexpr std::int64_t kChannels = device::kConvChannels, kPixels = device::kConvPixels;
constexpr std::int64_t kCard = 132;  // multiprocessors
constexpr std::int64_t kWide = 128;  // outputs of a block where two of them and more share a multiprocessor

// Whether it is such a convolution, of maps that are all bf16.
bool fits(const Machine& machine, const ConvGeometry& g, std::initializer_list<DType> maps) {
  const bool bf16 = std::ranges::all_of(maps, [](DType type) { return type == DType::bf16; });
  return machine.own_3x3 && bf16 && g.kh == 3 && g.kw == 3 && g.sh == 1 && g.sw == 1 && g.ph == 1 &&
         g.pw == 1 && g.dh == 1 && g.dw == 1 && g.groups == 1 && g.ci % kChannels == 0 &&
         g.co % kChannels == 0 && g.n * g.h * g.w < std::numeric_limits<std::int32_t>::max() / 2 &&
         g.w < 1024;  // far beyond what has room in shared memory, whose bytes are an int
}

// A pass that reads `in` channels and writes `out`.
struct Tiles {
  std::int64_t n, h, w, in, out;

  std::int64_t pixels() const { return n * h * w; }
  std::int64_t of_pixels() const { return divided(pixels(), kPixels); }
  std::int64_t columns() const {
    return out % kWide == 0 && of_pixels() * (out / kWide) >= 2 * kWide ? kWide : kChannels;
  }
  std::int64_t blocks() const { return of_pixels() * (out / columns()); }
  int shared_bytes() const { return device::conv3x3_shared_bytes(narrow(columns()), narrow(w), narrow(in)); }
  std::int64_t parts_bytes() const { return of_pixels() * 2 * out * std::int64_t{sizeof(double)}; }
  std::string reason() const {
    return "3x3, " + std::to_string(of_pixels()) + " tiles of pixels by " + std::to_string(out / columns()) +
           " of " + std::to_string(columns()) + " outputs";
  }

  // Launches the kernel, given that for 64 outputs, whose neighbour is that for 128, with rounded weights,
  // and parts of sums in the workspace, which `merge` adds up to `sums` [3][out] if somebody wants them.
  void launch(Recorder& r, KernelId kernel, Conv3x3Args args, const void* weights, KernelId merge,
              float* sums) const {
    args.weights = r.copies().of(weights, 9 * in, out, device::CopyForm::rounded);
    args.parts = sums != nullptr ? r.workspace<double>() : nullptr;
    args.n = narrow(n);
    args.h = narrow(h);
    args.w = narrow(w);
    args.in = narrow(in);
    args.out = narrow(out);
    args.rows = device::conv3x3_rows(device::kConvPixels, args.w);
    r.launch(static_cast<KernelId>(static_cast<std::uint32_t>(kernel) + (columns() == kWide ? 1U : 0U)),
             blocks(), args, shared_bytes());
    if (sums == nullptr) return;
    launch_merge(r, merge,
                 device::ConvSumsArgs{.parts = args.parts,
                                      .sums = sums,
                                      .rows = pixels(),
                                      .c = args.out,
                                      .parts_count = narrow(of_pixels())});
  }
};

Tiles forward_tiles(const ConvGeometry& g) {
  return {g.n, g.h, g.w, g.ci, g.co};
}
Tiles backward_tiles(const ConvGeometry& g) {
  return {g.n, g.h, g.w, g.co, g.ci};
}

}  // namespace

bool serves_conv3x3(const ops::Conv2d& operation, const Signature& s, const Machine& machine) {
  const ops::ConvOptions& o = operation.options();
  const ConvGeometry g = operation.geometry(s);
  return fits(machine, g, {s.inputs[ops::ConvInput::x]->dtype, s.outputs[ops::ConvOutput::y].dtype}) &&
         !o.norm_epilogue && !o.residual && forward_tiles(g).shared_bytes() <= device::kMostShared;
}

Lowering conv3x3(const ops::Conv2d& operation, const Signature& s) {
  using In = ops::ConvInput;
  using Out = ops::ConvOutput;
  const ops::ConvOptions& o = operation.options();
  const Tiles tiles = forward_tiles(operation.geometry(s));
  const Places at(operation, s);
  const bool relu = o.relu_prologue;
  std::string name = "conv3x3_forward_bf16";
  if (o.norm_prologue) name += relu ? "+norm_relu" : "+norm";
  if (o.statistics) name += "+moments";
  return lowered({.name = name,
                  .record =
                      [=](Recorder& r) {
                        tiles.launch(r, KernelId::conv3x3_forward_bf16_64,
                                     {.x = r.operand(at.input(In::x)),
                                      .y = r.operand(at.output(Out::y)),
                                      .bias = r.operand<const float>(at.input(In::bias)),
                                      .table = r.operand<const float>(at.input(In::coefficients)),
                                      .relu = relu ? 1 : 0},
                                     r.operand(at.input(In::w)), KernelId::conv_moments,
                                     r.operand<float>(at.output(Out::moments)));
                      },
                  .workspace_bytes = o.statistics ? tiles.parts_bytes() : 0},
                 tiles.reason());
}

bool serves_conv3x3(const ops::Conv2dInputGradient& operation, const Signature& s, const Machine& machine) {
  using In = ops::ConvInputGradientInput;
  const ConvGeometry g = operation.geometry(s);
  return fits(machine, g, {s.inputs[In::dy]->dtype, s.outputs[ops::ConvInputGradientOutput::dx].dtype}) &&
         backward_tiles(g).shared_bytes() <= device::kMostShared;
}

Lowering conv3x3(const ops::Conv2dInputGradient& operation, const Signature& s) {
  using In = ops::ConvInputGradientInput;
  using Out = ops::ConvInputGradientOutput;
  const ops::ConvInputGradientOptions& o = operation.options();
  const Tiles tiles = backward_tiles(operation.geometry(s));
  const Places at(operation, s);
  const bool sums = o.sums != Gate::none;
  // By a mask the norm's mean alone is read, else its table, whose first row that is.
  const std::size_t norm = o.sums == Gate::mask ? In::mean : In::coefficients;
  std::string name = "conv3x3_input_gradient_bf16";
  if (o.add) name += "+add";
  if (sums) name += o.sums == Gate::mask ? "+relu_mask+sums" : "+relu+sums";
  return lowered({.name = name,
                  .record =
                      [=](Recorder& r) {
                        tiles.launch(r, KernelId::conv3x3_input_gradient_bf16_64,
                                     {.x = r.operand(at.input(In::dy)),
                                      .y = r.operand(at.output(Out::dx)),
                                      .addend = r.operand(at.input(In::addend)),
                                      .norm_x = r.operand(at.input(In::norm_x)),
                                      .norm = r.operand<const float>(at.input(norm)),
                                      .mask = r.operand<const std::uint8_t>(at.input(In::mask))},
                                     r.operand(at.input(In::w)), KernelId::conv_gradient_sums,
                                     r.operand<float>(at.output(Out::sums)));
                      },
                  .workspace_bytes = sums ? tiles.parts_bytes() : 0},
                 tiles.reason());
}

bool serves_conv3x3(const ops::Conv2dWeightGradient& operation, const Signature& s, const Machine& machine) {
  using In = ops::ConvWeightGradientInput;
  const ConvGeometry g = operation.geometry(s);
  return fits(machine, g, {s.inputs[In::x]->dtype, s.inputs[In::dy]->dtype}) &&
         device::conv3x3_weights_shared_bytes(narrow(g.w), operation.options().norm_gradient_prologue) <=
             device::kMostShared;
}

Lowering conv3x3(const ops::Conv2dWeightGradient& operation, const Signature& s) {
  using In = ops::ConvWeightGradientInput;
  using Out = ops::ConvWeightGradientOutput;
  const ops::ConvWeightGradientOptions& o = operation.options();
  const ConvGeometry g = operation.geometry(s);
  const Places at(operation, s);
  const std::int64_t of_weights = g.ci / kChannels * (g.co / kChannels);
  const std::int64_t of_pixels = divided(g.n * g.h * g.w, device::kWeightPixels);
  const std::int64_t share = divided(of_pixels, std::clamp(kCard / of_weights, std::int64_t{1}, of_pixels));
  const std::int64_t shares = divided(of_pixels, share);
  const WeightParts parts{shares, 9 * g.ci * g.co};
  const int shared = device::conv3x3_weights_shared_bytes(narrow(g.w), o.norm_gradient_prologue);
  const Conv3x3WeightsArgs args{.n = narrow(g.n),
                                .h = narrow(g.h),
                                .w = narrow(g.w),
                                .ci = narrow(g.ci),
                                .co = narrow(g.co),
                                .rows = device::conv3x3_rows(device::kWeightPixels, narrow(g.w)),
                                .relu = o.relu_prologue ? 1 : 0,
                                .share = narrow(share)};
  std::string name = "conv3x3_weight_gradient_bf16";
  if (o.norm_prologue) name += o.relu_prologue ? "+norm_relu" : "+norm";
  if (o.norm_gradient_prologue) name += "+norm_gradient";
  return lowered({.name = name,
                  .record =
                      [=](Recorder& r) {
                        float* const dw = r.operand<float>(at.output(Out::dw));
                        Conv3x3WeightsArgs a = args;
                        a.x = r.operand(at.input(In::x));
                        a.dy = r.operand(at.input(In::dy));
                        a.dw = parts.written(r, dw);
                        a.table = r.operand<const float>(at.input(In::coefficients));
                        a.norm_x = r.operand(at.input(In::norm_x));
                        a.norm = r.operand<const float>(at.input(In::gradient_coefficients));
                        a.made_dy = r.operand(at.output(Out::dy));
                        r.launch(KernelId::conv3x3_weight_gradient_bf16, shares * of_weights, a, shared);
                        parts.merge(r, dw);
                      },
                  .workspace_bytes = parts.bytes()},
                 "3x3, " + std::to_string(of_weights) + " tiles of weights, " +
                     counted(shares, "share", "shares") + " of the pixels");
}

}  // namespace resnet::gpu

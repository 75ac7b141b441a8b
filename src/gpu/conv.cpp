// conv2d and linear and their gradients, by cuDNN where its table says so, else as implicit GEMMs.
#include <array>

#include "gpu/conv3x3.h"
#include "gpu/conv_cudnn.h"
#include "gpu/parts.h"
#include "ops/conv2d.h"

namespace resnet::gpu {
namespace {

using device::GemmArgs;
using kernels::ConvGeometry;
using kernels::ConvPass;

constexpr std::int64_t kTile = device::kGemmTile;
constexpr std::int64_t kLeastShare = 256;       // pixels of a share of a weight gradient
constexpr std::int64_t kLeastLinearShare = 32;  // and examples, where there are few blocks
constexpr std::int64_t kBlocks = 2 * 132;       // that fill a card

// Rows, columns and depth of a pass for one group.
struct Extents {
  std::int64_t rows, columns, depth;
};

GemmArgs gemm_args(const ConvGeometry& g, const Extents& e) {
  static_cast<void>(narrow(e.rows));
  static_cast<void>(narrow(e.depth));
  return {.n = narrow(g.n),
          .h = narrow(g.h),
          .w = narrow(g.w),
          .ci = narrow(g.ci),
          .ho = narrow(g.ho()),
          .wo = narrow(g.wo()),
          .co = narrow(g.co),
          .kh = narrow(g.kh),
          .kw = narrow(g.kw),
          .sh = narrow(g.sh),
          .sw = narrow(g.sw),
          .ph = narrow(g.ph),
          .pw = narrow(g.pw),
          .dh = narrow(g.dh),
          .dw = narrow(g.dw),
          .groups = narrow(g.groups),
          .row_tiles = narrow(divided(e.rows, kTile)),
          .column_tiles = narrow(divided(e.columns, kTile))};
}

std::int64_t tiles_of(const GemmArgs& args) {
  return std::int64_t{args.row_tiles} * args.column_tiles * args.groups;
}

// Whether both sides' channels come in chunks of 16 bytes of what is multiplied.
bool wide(const ConvGeometry& g, bool bf16) {
  const std::int64_t chunk = bf16 ? 8 : 4;
  return g.ci / g.groups % chunk == 0 && g.co / g.groups % chunk == 0;
}

/// The kernels of a pass: each stands before its twin for chunks of channels.
struct PassKernels {
  KernelId f32, tf32, bf16, bf16_of_f32;  // the last: where x is f32 and the other activation bf16
};

KernelId chosen(const PassKernels& kernels, const ConvGeometry& g, DType x, DType other, Products products) {
  const KernelId kernel = other == DType::bf16 ? (x == DType::bf16 ? kernels.bf16 : kernels.bf16_of_f32)
                          : products == Products::tf32 ? kernels.tf32
                                                       : kernels.f32;
  return static_cast<KernelId>(static_cast<std::uint32_t>(kernel) +
                               (wide(g, other == DType::bf16) ? 1U : 0U));
}

// Of what is multiplied, where an activation is stored so.
int element_bytes(DType storage) {
  return static_cast<int>(size_of(storage));
}

std::string tiles_reason(const GemmArgs& args) {
  return "implicit GEMM, " + std::to_string(args.row_tiles) + "x" + std::to_string(args.column_tiles) +
         " tiles" + (args.groups > 1 ? " of " + std::to_string(args.groups) + " groups" : "") +
         (args.shares > 1 ? ", " + std::to_string(args.shares) + " shares" : "");
}

std::string name_of(KernelId kernel) {
  return std::string(device::facts_of(kernel).name);
}

// A linear layer is no convolution of cuDNN's table.
template <bool kLinear>
ByCudnn by_library(ConvPass pass, const ConvGeometry& g, DType in, DType out, bool more,
                   const Machine& machine) {
  return kLinear ? ByCudnn{} : by_cudnn(pass, g, in, out, more, machine);
}

// A linear layer is none of 3x3.
template <bool kLinear, class O>
bool by_own(const O& operation, const Signature& s, const Machine& machine) {
  if constexpr (kLinear) {
    return false;
  } else {
    return serves_conv3x3(operation, s, machine);
  }
}

GemmArgs forward_operands(GemmArgs args, const Recorder& r, const Places& at) {
  args.a = r.operand(at.input(ops::ConvInput::x));
  args.b = r.operand(at.input(ops::ConvInput::w));
  args.bias = r.operand<const float>(at.input(ops::ConvInput::bias));
  args.y = r.operand(at.output(ops::ConvOutput::y));
  return args;
}

// A linear layer's product of one column of tiles: of 256 examples they are four, and most of a card would
// wait. Whatever the number of examples, so that the bits of one do not depend on it.
Lowering by_warps(const GemmArgs& args, const Places& at, std::int64_t numbers, Products products) {
  const KernelId kernel =
      products == Products::tf32 ? KernelId::linear_forward_tf32 : KernelId::linear_forward_f32;
  return lowered({.name = name_of(kernel),
                  .record =
                      [=](Recorder& r) {
                        r.launch(kernel, divided(numbers, device::kLinearResults),
                                 forward_operands(args, r, at));
                      }},
                 "a warp each of " + std::to_string(numbers) + " results");
}

template <bool kLinear>
class Forward final : public RulesOf<ops::ConvForward<kLinear>> {
  using Operation = ops::ConvForward<kLinear>;
  bool serves_this(const Operation& operation, const Signature& s, const Machine& machine) const override {
    return !operation.options().fuses() || by_own<kLinear>(operation, s, machine);
  }
  Lowering lower_this(const Operation& operation, const Signature& s, const Machine& machine) const override {
    if constexpr (!kLinear) {
      if (serves_conv3x3(operation, s, machine)) return conv3x3(operation, s);
    }
    const ConvGeometry g = operation.geometry(s);
    const DType y = s.outputs[ops::ConvOutput::y].dtype;
    const bool bias = s.inputs[ops::ConvInput::bias] != nullptr;
    ByCudnn by =
        by_library<kLinear>(ConvPass::forward, g, s.inputs[ops::ConvInput::x]->dtype, y, bias, machine);
    if (by.lowering) return std::move(*by.lowering);
    const std::int64_t ci = g.ci / g.groups, co = g.co / g.groups;
    const GemmArgs args = gemm_args(g, {g.n * g.ho() * g.wo(), co, g.kh * g.kw * ci});
    const Places at(operation, s);
    if (kLinear && args.column_tiles == 1) return by_warps(args, at, g.n * g.co, machine.products);
    constexpr PassKernels kKernels = {KernelId::gemm_forward_f32, KernelId::gemm_forward_tf32,
                                      KernelId::gemm_forward_bf16, KernelId::gemm_forward_bf16_of_f32};
    const KernelId kernel = chosen(kKernels, g, s.inputs[ops::ConvInput::x]->dtype, y, machine.products);
    const std::int64_t shared = device::gemm_shared_bytes(element_bytes(y), true, false);
    return lowered(
        {.name = name_of(kernel),
         .record =
             [=](Recorder& r) { r.launch(kernel, tiles_of(args), forward_operands(args, r, at), shared); }},
        tiles_reason(args) + by.why_not);
  }
  Bf16Operands bf16_of(const Operation&) const override {
    if (kLinear) return {};
    return {.inputs = {ops::ConvInput::x}, .outputs = {ops::ConvOutput::y}, .or_f32 = {ops::ConvInput::x}};
  }
};

template <bool kLinear>
class InputGradient final : public RulesOf<ops::ConvInputGradient<kLinear>> {
  using Operation = ops::ConvInputGradient<kLinear>;
  using In = ops::ConvInputGradientInput;
  using Out = ops::ConvInputGradientOutput;
  bool serves_this(const Operation& operation, const Signature& s, const Machine& machine) const override {
    return operation.options().sums == ops::Gate::none || by_own<kLinear>(operation, s, machine);
  }
  Lowering lower_this(const Operation& operation, const Signature& s, const Machine& machine) const override {
    if constexpr (!kLinear) {
      if (serves_conv3x3(operation, s, machine)) return conv3x3(operation, s);
    }
    const ConvGeometry g = operation.geometry(s);
    const DType dy = s.inputs[In::dy]->dtype, dx = s.outputs[Out::dx].dtype;
    const bool add = operation.options().add;
    ByCudnn by = by_library<kLinear>(ConvPass::input_gradient, g, dy, dx, add, machine);
    if (by.lowering) return std::move(*by.lowering);
    const std::int64_t ci = g.ci / g.groups, co = g.co / g.groups;
    const GemmArgs args = gemm_args(g, {g.n * g.h * g.w, ci, g.kh * g.kw * co});
    constexpr PassKernels kKernels = {KernelId::gemm_input_gradient_f32, KernelId::gemm_input_gradient_tf32,
                                      KernelId::gemm_input_gradient_bf16, KernelId::gemm_input_gradient_bf16};
    const KernelId kernel = chosen(kKernels, g, dy, dx, machine.products);
    const std::int64_t shared = device::gemm_shared_bytes(element_bytes(dx), true, true);
    const Places at(operation, s);
    return lowered({.name = name_of(kernel) + (add ? "+add" : ""),
                    .record =
                        [=](Recorder& r) {
                          GemmArgs a = args;
                          a.a = r.operand(at.input(In::dy));
                          a.b = r.operand(at.input(In::w));
                          a.addend = r.operand(at.input(In::addend));
                          a.y = r.operand(at.output(Out::dx));
                          r.launch(kernel, tiles_of(a), a, shared);
                        }},
                   tiles_reason(args) + by.why_not);
  }
  Bf16Operands bf16_of(const Operation& operation) const override {
    if (kLinear) return {};
    Bf16Operands operands{.inputs = {In::dy}, .outputs = {Out::dx}};
    if (operation.options().add) operands.inputs.push_back(In::addend);
    if (operation.options().sums != ops::Gate::none) operands.inputs.push_back(In::norm_x);
    return operands;
  }
  std::vector<std::size_t> in_place_of(const Operation& operation, std::size_t output) const override {
    if (output == Out::dx && operation.options().add) return {In::addend};
    return {};
  }
};

template <bool kLinear>
class WeightGradient final : public RulesOf<ops::ConvWeightGradient<kLinear>> {
  using Operation = ops::ConvWeightGradient<kLinear>;
  using In = ops::ConvWeightGradientInput;
  bool serves_this(const Operation& operation, const Signature& s, const Machine& machine) const override {
    const ops::ConvWeightGradientOptions& o = operation.options();
    return (!o.norm_prologue && !o.norm_gradient_prologue) || by_own<kLinear>(operation, s, machine);
  }
  Lowering lower_this(const Operation& operation, const Signature& s, const Machine& machine) const override {
    if constexpr (!kLinear) {
      if (serves_conv3x3(operation, s, machine)) return conv3x3(operation, s);
    }
    const ConvGeometry g = operation.geometry(s);
    const DType x = s.inputs[In::x]->dtype, dy = s.inputs[In::dy]->dtype;
    ByCudnn by = by_library<kLinear>(ConvPass::weight_gradient, g, x, dy, false, machine);
    if (by.lowering) return std::move(*by.lowering);
    const std::int64_t ci = g.ci / g.groups, co = g.co / g.groups, pixels = g.n * g.ho() * g.wo();
    GemmArgs args = gemm_args(g, {g.kh * g.kw * ci, co, pixels});
    constexpr std::int64_t kLeast = kLinear ? kLeastLinearShare : kLeastShare;
    const std::int64_t shares =
        std::clamp(std::min(kBlocks / tiles_of(args), pixels / kLeast), std::int64_t{1}, kBlocks);
    args.share = divided(pixels, shares);
    args.shares = narrow(divided(pixels, args.share));
    constexpr PassKernels kKernels = {KernelId::gemm_weight_gradient_f32, KernelId::gemm_weight_gradient_tf32,
                                      KernelId::gemm_weight_gradient_bf16,
                                      KernelId::gemm_weight_gradient_bf16_of_f32};
    const KernelId kernel = chosen(kKernels, g, x, dy, machine.products);
    const std::int64_t shared = device::gemm_shared_bytes(element_bytes(dy), false, false);
    const std::int64_t weights = g.kh * g.kw * ci * g.co;
    const WeightParts parts{args.shares, weights};
    const Places at(operation, s);
    return lowered({.name = name_of(kernel),
                    .record =
                        [=](Recorder& r) {
                          GemmArgs a = args;
                          a.a = r.operand(at.input(In::x));
                          a.b = r.operand(at.input(In::dy));
                          float* const dw = r.operand<float>(at.output(ops::ConvWeightGradientOutput::dw));
                          a.y = parts.written(r, dw);
                          r.launch(kernel, tiles_of(a) * a.shares, a, shared);
                          parts.merge(r, dw);
                        },
                    .workspace_bytes = parts.bytes()},
                   tiles_reason(args) + by.why_not);
  }
  Bf16Operands bf16_of(const Operation& operation) const override {
    if (kLinear) return {};
    Bf16Operands operands{.inputs = {In::x, In::dy}, .or_f32 = {In::x}};
    if (operation.options().norm_gradient_prologue) {
      operands.inputs.push_back(In::norm_x);
      operands.outputs.push_back(ops::ConvWeightGradientOutput::dy);
    }
    return operands;
  }
};

}  // namespace

RulesList conv_rules() {
  static const Forward<false> conv2d;
  static const InputGradient<false> conv2d_input_gradient;
  static const WeightGradient<false> conv2d_weight_gradient;
  static const Forward<true> linear;
  static const InputGradient<true> linear_input_gradient;
  static const WeightGradient<true> linear_weight_gradient;
  static const std::array<const Rules*, 6> list = {&conv2d, &conv2d_input_gradient, &conv2d_weight_gradient,
                                                   &linear, &linear_input_gradient, &linear_weight_gradient};
  return list;
}

}  // namespace resnet::gpu

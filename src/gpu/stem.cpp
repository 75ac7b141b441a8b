// conv2d_pooled and the gradient of its weights: a stem's convolution and pool in one
// (device/kernels/stem.h).
#include <array>
#include <optional>

#include "base/text.h"
#include "gpu/parts.h"
#include "ops/conv2d_pooled.h"

namespace resnet::gpu {
namespace {

using device::StemArgs;
using kernels::ConvGeometry;
using kernels::PoolGeometry;

constexpr std::int64_t kOutputs = device::kConvChannels;
constexpr std::int64_t kMostStripRows = 4;     // of the pool
constexpr std::int64_t kStemBlocks = 2 * 132;  // that fill a card
constexpr std::int64_t kSumsBytes = device::sums_of_warps_bytes(device::kThreads);

std::int64_t in_whole(std::int64_t size, std::int64_t value) {
  return divided(value, size) * size;
}

// How a pass is cut into strips.
struct Strips {
  StemArgs args;
  std::int64_t shared_bytes;

  std::int64_t all() const { return std::int64_t{args.n} * args.strips; }
  std::int64_t tiles() const { return args.co / kOutputs; }
  std::string reason() const {
    return counted(args.strips, "strip", "strips") + " of an image, " + std::to_string(args.strip_rows) +
           " rows of the pool each";
  }
};

// `above`: rows of the strip before that a strip makes again.
Strips strips_of(const ConvGeometry& g, const PoolGeometry& pool, std::int64_t rows, std::int64_t above) {
  const std::int64_t run = in_whole(8, g.kw * g.ci), depth = in_whole(16, g.kh * run);
  const std::int64_t pitch = in_whole(8, (g.wo() - 1) * g.sw * g.ci + run);
  const std::int64_t made = std::min(2 * rows + above, g.ho()), pixels = in_whole(16, made * g.wo());
  const std::int64_t inputs = ((made - 1) * g.sh + g.kh + 1) * pitch * 2;
  return {{.n = narrow(g.n),
           .height = narrow(g.h),
           .width = narrow(g.w),
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
           .pooled_height = narrow(pool.ho()),
           .pooled_width = narrow(pool.wo()),
           .strips = narrow(divided(pool.ho(), rows)),
           .strip_rows = narrow(rows),
           .padded_run = narrow(run),
           .depth = narrow(depth),
           .pitch = narrow(pitch),
           .pixels = narrow(pixels)},
          (depth + pixels) * kOutputs * 2 + pixels * 2 + std::max(inputs, kSumsBytes)};
}

// The longest strips that have room, or none.
std::optional<Strips> strips_with_room(const ConvGeometry& g, const PoolGeometry& pool, std::int64_t above) {
  for (std::int64_t rows = std::min(kMostStripRows, pool.ho()); rows > 0; --rows) {
    const Strips strips = strips_of(g, pool, rows, above);
    if (strips.shared_bytes <= device::kMostShared) return strips;
  }
  return std::nullopt;
}

bool fits(const ConvGeometry& g, const PoolGeometry& pool) {
  const bool taps = g.groups == 1 && g.dh == 1 && g.dw == 1 && g.co % kOutputs == 0 && g.sw * g.ci % 2 == 0 &&
                    g.kw * g.ci <= device::kMostStemDepth && g.kh <= device::kMostStemDepth;
  const bool pools = pool.kh == 3 && pool.kw == 3 && pool.sh == 2 && pool.sw == 2 && pool.ph == 1 &&
                     pool.pw == 1 && !pool.ceil_mode;
  return taps && pools && in_whole(16, g.kh * in_whole(8, g.kw * g.ci)) <= device::kMostStemDepth &&
         g.w * g.ci < std::int64_t{1} << 16 && g.ho() * g.wo() < std::int64_t{1} << 24 &&
         g.n * g.ho() < std::int64_t{1} << 30;
}

class Pooled final : public RulesOf<ops::Conv2dPooled> {
  using In = ops::Conv2dPooledInput;
  using Out = ops::Conv2dPooledOutput;
  bool serves_this(const ops::Conv2dPooled& operation, const Signature& s, const Machine&) const override {
    const auto [conv, pool] = operation.geometry(s.inputs);
    return s.outputs[Out::y].dtype == DType::bf16 && fits(conv, pool) && strips_with_room(conv, pool, 1) &&
           strips_with_room(conv, pool, 0);
  }
  Lowering lower_this(const ops::Conv2dPooled& operation, const Signature& s, const Machine&) const override {
    const auto [conv, pool] = operation.geometry(s.inputs);
    const Strips strips = strips_with_room(conv, pool, 1).value();
    const Places at(operation, s);
    const KernelId kernel = kernel_of(KernelId::stem_forward_f32, s.inputs[In::x]->dtype);
    const std::int64_t rows = conv.n * conv.ho() * conv.wo();
    return lowered({.name = "stem_forward_bf16",
                    .record =
                        [=](Recorder& r) {
                          StemArgs a = strips.args;
                          a.x = r.operand(at.input(In::x));
                          a.w = r.operand<const float>(at.input(In::w));
                          a.bias = r.operand<const float>(at.input(In::bias));
                          a.gamma = r.operand<const float>(at.input(In::gamma));
                          a.y = r.operand(at.output(Out::y));
                          a.index = r.operand<std::uint8_t>(at.output(Out::index));
                          float* const moments = r.operand<float>(at.output(Out::moments));
                          a.parts = moments != nullptr ? r.workspace<double>() : nullptr;
                          r.launch(kernel, strips.all() * strips.tiles(), a, strips.shared_bytes);
                          if (moments == nullptr) return;
                          launch_merge(r, KernelId::conv_moments,
                                       device::ConvSumsArgs{.parts = a.parts,
                                                            .sums = moments,
                                                            .rows = rows,
                                                            .c = a.co,
                                                            .parts_count = narrow(strips.all())});
                        },
                    .workspace_bytes = strips.all() * 2 * conv.co * std::int64_t{sizeof(double)}},
                   strips.reason());
  }
  Bf16Operands bf16_of(const ops::Conv2dPooled&) const override {
    return {.inputs = {In::x}, .outputs = {Out::y}, .or_f32 = {In::x}};
  }
  bool optional_output_of(const ops::Conv2dPooled&, std::size_t output) const override {
    return output == Out::index || output == Out::moments;
  }
};

class PooledWeightGradient final : public RulesOf<ops::Conv2dPooledWeightGradient> {
  using In = ops::Conv2dPooledWeightGradientInput;
  bool serves_this(const ops::Conv2dPooledWeightGradient& operation, const Signature& s,
                   const Machine&) const override {
    const auto [conv, pool] = operation.geometry(s.inputs);
    return s.inputs[In::dz]->dtype == DType::bf16 && fits(conv, pool) && strips_with_room(conv, pool, 0);
  }
  Lowering lower_this(const ops::Conv2dPooledWeightGradient& operation, const Signature& s,
                      const Machine&) const override {
    const auto [conv, pool] = operation.geometry(s.inputs);
    const Strips strips = strips_with_room(conv, pool, 0).value();
    const Places at(operation, s);
    const KernelId kernel = kernel_of(KernelId::stem_weight_gradient_f32, s.inputs[In::x]->dtype);
    const std::int64_t weights = conv.kh * conv.kw * conv.ci * conv.co;
    const std::int64_t share = divided(strips.all(), std::max(kStemBlocks / strips.tiles(), std::int64_t{1}));
    const std::int64_t shares = divided(strips.all(), share);
    const WeightParts parts{shares, weights};
    return lowered({.name = "stem_weight_gradient_bf16",
                    .record =
                        [=](Recorder& r) {
                          float* const dw = r.operand<float>(at.output(0));
                          StemArgs a = strips.args;
                          a.x = r.operand(at.input(In::x));
                          a.w = r.operand<const float>(at.input(In::w));
                          a.bias = r.operand<const float>(at.input(In::bias));
                          a.dz = r.operand(at.input(In::dz));
                          a.gate = r.operand(at.input(In::gate));
                          a.chosen = r.operand<const std::uint8_t>(at.input(In::index));
                          a.table = r.operand<const float>(at.input(In::gradient_coefficients));
                          a.dw = parts.written(r, dw);
                          a.share = narrow(share);
                          r.launch(kernel, shares * strips.tiles(), a, strips.shared_bytes);
                          parts.merge(r, dw);
                        },
                    .workspace_bytes = parts.bytes()},
                   strips.reason() + ", " + counted(shares, "share", "shares"));
  }
  Bf16Operands bf16_of(const ops::Conv2dPooledWeightGradient&) const override {
    return {.inputs = {In::x, In::dz, In::gate}, .or_f32 = {In::x}};
  }
};

}  // namespace

RulesList stem_rules() {
  static const Pooled pooled;
  static const PooledWeightGradient weight_gradient;
  static const std::array<const Rules*, 2> list = {&pooled, &weight_gradient};
  return list;
}

}  // namespace resnet::gpu

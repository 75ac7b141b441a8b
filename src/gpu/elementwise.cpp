// What works element by element, channel by channel, or only moves data.
#include <array>

#include "gpu/parts.h"
#include "gpu/sums.h"
#include "ops/activation.h"
#include "ops/add.h"
#include "ops/channel_sum.h"
#include "ops/concat.h"
#include "ops/dropout.h"
#include "ops/flatten.h"
#include "ops/mul.h"
#include "ops/relu.h"
#include "ops/rules.h"

namespace resnet::gpu {
namespace {

/// y = f(a), or f(a, b), of one type; y may take the place of the inputs in `kInPlace` first ones.
Lowering sweep(KernelId f32, const ops::ValueType& type, bool both) {
  const std::int64_t elements = type.shape.elements();
  return one_launch(kernel_of(f32, type.dtype), sweep_blocks(elements, pack_of(type.dtype)),
                    [elements, both](const Recorder& r) {
                      return device::SweepArgs{.a = r.operand(0),
                                               .b = both ? r.operand(1) : nullptr,
                                               .y = r.operand(both ? 2 : 1),
                                               .elements = elements};
                    });
}

/// The operation O of one or two inputs of its result's type, each of which may be overwritten.
template <class O, KernelId kF32, bool kBoth>
class SweepRules final : public RulesOf<O> {
  Lowering lower_this(const O&, const Signature& s, const Machine&) const override {
    return sweep(kF32, *s.inputs[0], kBoth);
  }
  Bf16Operands bf16_of(const O&) const override {
    return kBoth ? Bf16Operands{.inputs = {0, 1}, .outputs = {0}}
                 : Bf16Operands{.inputs = {0}, .outputs = {0}};
  }
  std::vector<std::size_t> in_place_of(const O&, std::size_t) const override {
    return kBoth ? std::vector<std::size_t>{0, 1} : std::vector<std::size_t>{0};
  }
};

class MulRules final : public RulesOf<ops::Mul> {
  using In = ops::MulInput;
  Lowering lower_this(const ops::Mul&, const Signature& s, const Machine&) const override {
    const ops::ValueType& a = *s.inputs[In::a];
    if (!ops::Mul::gates(a.shape, s.inputs[In::b]->shape)) return sweep(KernelId::mul_f32, a, true);
    const std::int64_t n = a.shape[0], c = a.shape[1], pixels = ops::pixels_of(a.shape);
    return one_launch(kernel_of(KernelId::mul_gate_f32, a.dtype), sweep_blocks(a.shape.elements()),
                      [=](const Recorder& r) {
                        return device::GateArgs{r.operand(0), r.operand(1), r.operand(2), n, pixels, c};
                      });
  }
  Bf16Operands bf16_of(const ops::Mul&) const override { return {.inputs = {In::a, In::b}, .outputs = {0}}; }
  std::vector<std::size_t> in_place_of(const ops::Mul&, std::size_t) const override { return {In::a}; }
};

class MulGateGradientRules final : public RulesOf<ops::MulGateGradient> {
  using In = ops::MulGateGradientInput;
  Lowering lower_this(const ops::MulGateGradient&, const Signature& s, const Machine&) const override {
    const auto& [a, dtype] = *s.inputs[In::a];
    const std::int64_t n = a[0], c = a[1], pixels = ops::pixels_of(a);
    return one_launch(kernel_of(KernelId::mul_gate_gradient_f32, dtype), divided(n * c, device::kThreads),
                      [=](const Recorder& r) {
                        return device::GateArgs{r.operand(0), r.operand(1), r.operand(2), n, pixels, c};
                      });
  }
  Bf16Operands bf16_of(const ops::MulGateGradient&) const override {
    return {.inputs = {In::dy, In::a}, .outputs = {0}};
  }
};

class ConcatRules final : public RulesOf<ops::Concat> {
  using In = ops::ConcatInput;
  Lowering lower_this(const ops::Concat&, const Signature& s, const Machine&) const override {
    const auto& [shape, dtype] = *s.inputs[In::a];
    const std::int64_t rows = shape[0] * ops::pixels_of(shape), a = shape[1], b = s.inputs[In::b]->shape[1];
    const KernelId kernel = kernel_of(KernelId::copy_channels_f32, dtype);
    return lowered({.name = "concat",
                    .record =
                        [=](Recorder& r) {
                          r.launch(kernel, sweep_blocks(rows * a),
                                   device::ChannelsArgs{r.operand(0), r.operand(2), rows, a, 0, a + b, 0, a});
                          r.launch(kernel, sweep_blocks(rows * b),
                                   device::ChannelsArgs{r.operand(1), r.operand(2), rows, b, 0, a + b, a, b});
                        }},
                   "copied");
  }
  Bf16Operands bf16_of(const ops::Concat&) const override {
    return {.inputs = {In::a, In::b}, .outputs = {0}};
  }
};

class SliceRules final : public RulesOf<ops::Slice> {
  Lowering lower_this(const ops::Slice& operation, const Signature& s, const Machine&) const override {
    const auto& [x, dtype] = *s.inputs[0];
    const std::int64_t rows = x[0] * ops::pixels_of(x), c = x[1];
    const std::int64_t first = operation.options().first, count = operation.options().count;
    return one_launch(
        kernel_of(KernelId::copy_channels_f32, dtype), sweep_blocks(rows * count), [=](const Recorder& r) {
          return device::ChannelsArgs{r.operand(0), r.operand(1), rows, c, first, count, 0, count};
        });
  }
  Bf16Operands bf16_of(const ops::Slice&) const override { return {.inputs = {0}, .outputs = {0}}; }
};

class DropoutRules final : public RulesOf<ops::Dropout> {
  Lowering lower_this(const ops::Dropout& operation, const Signature& s, const Machine&) const override {
    const auto& [x, dtype] = *s.inputs[ops::DropoutInput::x];
    const ops::DropoutOptions o = operation.options();
    const std::int64_t n = x[0], c = x[1], pixels = ops::pixels_of(x);
    return one_launch(kernel_of(o.per_example ? KernelId::drop_path_f32 : KernelId::dropout_f32, dtype),
                      sweep_blocks(x.elements()), [=](const Recorder& r) {
                        return device::DropoutArgs{.x = r.operand(0),
                                                   .seed_step = r.operand<const std::int64_t>(1),
                                                   .y = r.operand(2),
                                                   .layer = o.layer,
                                                   .p = o.p,
                                                   .n = n,
                                                   .pixels = pixels,
                                                   .c = c};
                      });
  }
  Bf16Operands bf16_of(const ops::Dropout&) const override {
    return {.inputs = {ops::DropoutInput::x}, .outputs = {0}};
  }
  std::vector<std::size_t> in_place_of(const ops::Dropout&, std::size_t) const override {
    return {ops::DropoutInput::x};
  }
};

/// Between NHWC and the public order: `map` is the tensor of four axes.
Lowering reordered(KernelId f32, const ops::ValueType& map) {
  const std::int64_t n = map.shape[0], c = map.shape[1], pixels = ops::pixels_of(map.shape);
  return one_launch(kernel_of(f32, map.dtype), sweep_blocks(map.shape.elements()), [=](const Recorder& r) {
    return device::FlattenArgs{r.operand(0), r.operand(1), n, pixels, c};
  });
}

class FlattenRules final : public RulesOf<ops::Flatten> {
  Lowering lower_this(const ops::Flatten&, const Signature& s, const Machine&) const override {
    return reordered(KernelId::flatten_f32, *s.inputs[0]);
  }
  Bf16Operands bf16_of(const ops::Flatten&) const override { return {.inputs = {0}}; }
};

class UnflattenRules final : public RulesOf<ops::Unflatten> {
  Lowering lower_this(const ops::Unflatten&, const Signature& s, const Machine&) const override {
    return reordered(KernelId::unflatten_f32, s.outputs[0]);
  }
  Bf16Operands bf16_of(const ops::Unflatten&) const override { return {.outputs = {0}}; }
};

class ChannelSumRules final : public RulesOf<ops::ChannelSum> {
  Lowering lower_this(const ops::ChannelSum&, const Signature& s, const Machine&) const override {
    const auto& [x, dtype] = *s.inputs[0];
    const RowSums sums(x[0] * ops::pixels_of(x), x[1], 1);
    const KernelId kernel = kernel_of(KernelId::channel_sums_f32, dtype);
    return lowered({.name = std::string(device::facts_of(kernel).name),
                    .record =
                        [=](Recorder& r) {
                          sums.launch(r, kernel, sums.args(r, {.x = r.operand(0)}));
                          launch_merge(r, KernelId::channel_sum_merge,
                                       device::ChannelSumArgs{r.workspace<double>(), r.operand<float>(1),
                                                              sums.c, sums.shares});
                        },
                    .workspace_bytes = sums.bytes()},
                   sums.reason());
  }
  Bf16Operands bf16_of(const ops::ChannelSum&) const override { return {.inputs = {0}}; }
};

}  // namespace

RulesList elementwise_rules() {
  static const SweepRules<ops::Relu, KernelId::relu_f32, false> relu;
  static const SweepRules<ops::ReluGradient, KernelId::relu_gradient_f32, true> relu_gradient;
  static const SweepRules<ops::Add, KernelId::add_f32, true> add;
  static const SweepRules<ops::Sigmoid, KernelId::sigmoid_f32, false> sigmoid;
  static const SweepRules<ops::Silu, KernelId::silu_f32, false> silu;
  static const SweepRules<ops::Gelu, KernelId::gelu_f32, false> gelu;
  static const SweepRules<ops::SigmoidGradient, KernelId::sigmoid_gradient_f32, true> sigmoid_gradient;
  static const SweepRules<ops::SiluGradient, KernelId::silu_gradient_f32, true> silu_gradient;
  static const SweepRules<ops::GeluGradient, KernelId::gelu_gradient_f32, true> gelu_gradient;
  static const MulRules mul;
  static const MulGateGradientRules mul_gate_gradient;
  static const ConcatRules concat;
  static const SliceRules slice;
  static const DropoutRules dropout;
  static const FlattenRules flatten;
  static const UnflattenRules unflatten;
  static const ChannelSumRules channel_sum;
  static const std::array<const Rules*, 17> list = {
      &relu,          &relu_gradient, &add,        &sigmoid,           &silu,   &gelu,  &sigmoid_gradient,
      &silu_gradient, &gelu_gradient, &mul,        &mul_gate_gradient, &concat, &slice, &dropout,
      &flatten,       &unflatten,     &channel_sum};
  return list;
}

}  // namespace resnet::gpu

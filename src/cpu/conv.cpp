// conv2d and linear, their gradients, and the stem's convolutions that a pool chooses from.
#include "kernels/conv/conv.h"

#include <array>
#include <string>

#include "cpu/rules.h"
#include "kernels/conv/stem/stem.h"
#include "ops/conv2d.h"
#include "ops/conv2d_pooled.h"
#include "resnet/error.h"

namespace resnet::cpu {

using kernels::ConvFusion;
using kernels::ConvGeometry;
using kernels::ConvPass;
using kernels::ConvStorage;

const kernels::ConvChoice& ConvChoices::of(const ConvGeometry& g, ConvPass pass, ConvStorage storage) {
  const Key key{g.n,  g.ci, g.co, g.h,  g.w,      g.kh, g.kw,       g.sh,       g.sw,
                g.ph, g.pw, g.dh, g.dw, g.groups, pass, storage.in, storage.out};
  const auto found = choices_.find(key);
  return found != choices_.end()
             ? found->second
             : choices_.emplace(key, kernels::choose_conv(g, pass, storage)).first->second;
}

namespace {

ConvFusion fusion_of(const ops::ConvOptions& o) {
  return {.norm = o.norm_prologue,
          .relu = o.relu_prologue,
          .moments = o.statistics,
          .norm_epilogue = o.norm_epilogue,
          .add = o.residual,
          .relu_epilogue = o.relu_epilogue};
}

ConvFusion fusion_of(const ops::ConvInputGradientOptions& o) {
  ConvFusion fusion{.add = o.add};
  if (o.sums == ops::Gate::coefficients) fusion.sums = ConvFusion::Sums::by_coefficients;
  if (o.sums == ops::Gate::mask) fusion.sums = ConvFusion::Sums::by_relu_mask;
  return fusion;
}

ConvFusion fusion_of(const ops::ConvWeightGradientOptions& o) {
  return {.norm = o.norm_prologue, .relu = o.relu_prologue, .norm_gradient = o.norm_gradient_prologue};
}

// What the three passes have in common: O is the operation of pass kPass.
template <class O, ConvPass kPass>
class ConvRules : public RulesOf<O> {
 protected:
  virtual ConvStorage storage_of(const Signature& s) const = 0;

  bool serves_this(const O& operation, const Signature& s, const Machine& machine) const final {
    const ConvGeometry g = operation.geometry(s);
    const ConvFusion fusion = fusion_of(operation.options());
    if (!fusion.any_norm()) return true;
    const bool linear = s.inputs[0]->shape.rank() == 2;
    const ConvStorage storage = storage_of(s);
    return !linear && machine.choices.of(g, kPass, storage).algorithm->fuses(g, kPass, storage, fusion);
  }
  Lowering lower_this(const O& operation, const Signature& s, const Machine& machine) const final {
    const ConvGeometry g = operation.geometry(s);
    const ConvStorage storage = storage_of(s);
    const kernels::ConvChoice& choice = machine.choices.of(g, kPass, storage);
    return {choice.algorithm->make(g, kPass, machine.isa, storage, fusion_of(operation.options())),
            choice.reason};
  }
};

template <bool kLinear>
class Forward final : public ConvRules<ops::ConvForward<kLinear>, ConvPass::forward> {
  using Operation = ops::ConvForward<kLinear>;
  ConvStorage storage_of(const Signature& s) const override {
    return {s.inputs[ops::ConvInput::x]->dtype, s.outputs[ops::ConvOutput::y].dtype};
  }
  Bf16Operands bf16_of(const Operation& operation) const override {
    Bf16Operands operands{
        .inputs = {ops::ConvInput::x}, .outputs = {ops::ConvOutput::y}, .or_f32 = {ops::ConvInput::x}};
    if (operation.options().residual) operands.inputs.push_back(ops::ConvInput::residual);
    return operands;
  }
};

template <bool kLinear>
class InputGradient final : public ConvRules<ops::ConvInputGradient<kLinear>, ConvPass::input_gradient> {
  using Operation = ops::ConvInputGradient<kLinear>;
  using In = ops::ConvInputGradientInput;
  using Out = ops::ConvInputGradientOutput;
  ConvStorage storage_of(const Signature& s) const override {
    return {s.inputs[In::dy]->dtype, s.outputs[Out::dx].dtype};
  }
  Bf16Operands bf16_of(const Operation& operation) const override {
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
class WeightGradient final : public ConvRules<ops::ConvWeightGradient<kLinear>, ConvPass::weight_gradient> {
  using Operation = ops::ConvWeightGradient<kLinear>;
  using In = ops::ConvWeightGradientInput;
  using Out = ops::ConvWeightGradientOutput;
  ConvStorage storage_of(const Signature& s) const override {
    return {s.inputs[In::x]->dtype, s.inputs[In::dy]->dtype};
  }
  Bf16Operands bf16_of(const Operation& operation) const override {
    Bf16Operands operands{.inputs = {In::x, In::dy}, .or_f32 = {In::x}};
    if (operation.options().norm_gradient_prologue) {
      operands.inputs.push_back(In::norm_x);
      operands.outputs.push_back(Out::dy);
    }
    return operands;
  }
  // dy takes over the norm's x where that is free: dz may be wanted elsewhere.
  std::vector<std::size_t> in_place_of(const Operation&, std::size_t output) const override {
    if (output == Out::dy) return {In::norm_x, In::dy};
    return {};
  }
};

// The compiler makes these nodes only where an algorithm serves.
Lowering lowered(const ConvGeometry& conv, const kernels::PoolGeometry& pool, ConvPass pass, Isa isa,
                 ConvStorage storage) {
  const kernels::ConvPoolAlgorithm* algorithm = kernels::choose_conv_pool(conv, pool);
  if (algorithm == nullptr) throw ShapeError("no kernel computes this convolution and its pool as one");
  return {algorithm->make(conv, pool, pass, isa, storage), std::string(algorithm->reason(pass))};
}

class Pooled final : public RulesOf<ops::Conv2dPooled> {
  using In = ops::Conv2dPooledInput;
  using Out = ops::Conv2dPooledOutput;
  bool serves_this(const ops::Conv2dPooled& operation, const Signature& s, const Machine&) const override {
    const auto [conv, pool] = operation.geometry(s.inputs);
    return kernels::choose_conv_pool(conv, pool) != nullptr;
  }
  Lowering lower_this(const ops::Conv2dPooled& operation, const Signature& s,
                      const Machine& machine) const override {
    const auto [conv, pool] = operation.geometry(s.inputs);
    return lowered(conv, pool, ConvPass::forward, machine.isa,
                   {s.inputs[In::x]->dtype, s.outputs[Out::y].dtype});
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
    return kernels::choose_conv_pool(conv, pool) != nullptr;
  }
  Lowering lower_this(const ops::Conv2dPooledWeightGradient& operation, const Signature& s,
                      const Machine& machine) const override {
    const auto [conv, pool] = operation.geometry(s.inputs);
    return lowered(conv, pool, ConvPass::weight_gradient, machine.isa,
                   {s.inputs[In::x]->dtype, s.inputs[In::dz]->dtype});
  }
  Bf16Operands bf16_of(const ops::Conv2dPooledWeightGradient&) const override {
    return {.inputs = {In::x, In::dz, In::gate}, .or_f32 = {In::x}};
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
  static const Pooled pooled;
  static const PooledWeightGradient pooled_weight_gradient;
  static const std::array<const Rules*, 8> list = {&conv2d, &conv2d_input_gradient, &conv2d_weight_gradient,
                                                   &linear, &linear_input_gradient, &linear_weight_gradient,
                                                   &pooled, &pooled_weight_gradient};
  return list;
}

}  // namespace resnet::cpu

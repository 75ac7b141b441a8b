// What works element by element, channel by channel, or only moves data.
#include "kernels/elementwise/elementwise.h"

#include <array>

#include "cpu/rules.h"
#include "ops/add.h"
#include "ops/channel_sum.h"
#include "ops/dropout.h"
#include "ops/flatten.h"
#include "ops/relu.h"
#include "ops/rules.h"

namespace resnet::cpu {
namespace {

// The reason of what stands by itself in a plan.
constexpr const char* kAlone = "no neighbour fuses it";

class ReluRules final : public RulesOf<ops::Relu> {
  Lowering lower_this(const ops::Relu&, const Signature& s, const Machine& machine) const override {
    const ops::ValueType& x = *s.inputs[ops::ReluInput::x];
    return {kernels::make_relu(x.shape.elements(), machine.isa, x.dtype), kAlone};
  }
  Bf16Operands bf16_of(const ops::Relu&) const override {
    return {.inputs = {ops::ReluInput::x}, .outputs = {0}};
  }
  std::vector<std::size_t> in_place_of(const ops::Relu&, std::size_t) const override {
    return {ops::ReluInput::x};
  }
};

class ReluGradientRules final : public RulesOf<ops::ReluGradient> {
  using In = ops::ReluGradientInput;
  Lowering lower_this(const ops::ReluGradient&, const Signature& s, const Machine& machine) const override {
    const ops::ValueType& dy = *s.inputs[In::dy];
    return {kernels::make_relu_gradient(dy.shape.elements(), machine.isa, dy.dtype), kAlone};
  }
  Bf16Operands bf16_of(const ops::ReluGradient&) const override {
    return {.inputs = {In::dy, In::y}, .outputs = {0}};
  }
  std::vector<std::size_t> in_place_of(const ops::ReluGradient&, std::size_t) const override {
    return {In::dy};
  }
};

class AddRules final : public RulesOf<ops::Add> {
  using In = ops::AddInput;
  Lowering lower_this(const ops::Add&, const Signature& s, const Machine& machine) const override {
    const ops::ValueType& a = *s.inputs[In::a];
    return {kernels::make_add(a.shape.elements(), machine.isa, a.dtype), kAlone};
  }
  Bf16Operands bf16_of(const ops::Add&) const override { return {.inputs = {In::a, In::b}, .outputs = {0}}; }
  std::vector<std::size_t> in_place_of(const ops::Add&, std::size_t) const override { return {In::a, In::b}; }
};

class ChannelSumRules final : public RulesOf<ops::ChannelSum> {
  Lowering lower_this(const ops::ChannelSum&, const Signature& s, const Machine& machine) const override {
    const auto& [x, dtype] = *s.inputs[0];
    return {kernels::make_channel_sum(x[0] * ops::pixels_of(x), x[1], machine.isa, dtype),
            "fixed chunks, merged in double"};
  }
  Bf16Operands bf16_of(const ops::ChannelSum&) const override { return {.inputs = {0}}; }
};

class DropoutRules final : public RulesOf<ops::Dropout> {
  Lowering lower_this(const ops::Dropout& operation, const Signature& s,
                      const Machine& machine) const override {
    const auto& [x, dtype] = *s.inputs[ops::DropoutInput::x];
    const auto& [p, layer, per_example] = operation.options();
    if (per_example) {
      return {kernels::make_drop_path(p, layer, x[0], x[1] * ops::pixels_of(x), machine.isa, dtype),
              "counter-based, a number for each example"};
    }
    return {kernels::make_dropout(p, layer, x[0], x[1], ops::pixels_of(x), machine.isa, dtype),
            "counter-based mask, never stored"};
  }
  Bf16Operands bf16_of(const ops::Dropout&) const override {
    return {.inputs = {ops::DropoutInput::x}, .outputs = {0}};
  }
  std::vector<std::size_t> in_place_of(const ops::Dropout&, std::size_t) const override {
    return {ops::DropoutInput::x};
  }
};

class FlattenRules final : public RulesOf<ops::Flatten> {
  Lowering lower_this(const ops::Flatten&, const Signature& s, const Machine& machine) const override {
    const auto& [x, dtype] = *s.inputs[0];
    return {kernels::make_flatten(x[0], x[1], ops::pixels_of(x), machine.isa, dtype), "to the public order"};
  }
  Bf16Operands bf16_of(const ops::Flatten&) const override { return {.inputs = {0}}; }
};

class UnflattenRules final : public RulesOf<ops::Unflatten> {
  Lowering lower_this(const ops::Unflatten&, const Signature& s, const Machine& machine) const override {
    const auto& [y, dtype] = s.outputs[0];
    return {kernels::make_unflatten(y[0], y[1], ops::pixels_of(y), machine.isa, dtype),
            "from the public order"};
  }
  Bf16Operands bf16_of(const ops::Unflatten&) const override { return {.outputs = {0}}; }
};

}  // namespace

RulesList elementwise_rules() {
  static const ReluRules relu;
  static const ReluGradientRules relu_gradient;
  static const AddRules add;
  static const ChannelSumRules channel_sum;
  static const DropoutRules dropout;
  static const FlattenRules flatten;
  static const UnflattenRules unflatten;
  static const std::array<const Rules*, 7> list = {&relu,    &relu_gradient, &add,      &channel_sum,
                                                   &dropout, &flatten,       &unflatten};
  return list;
}

}  // namespace resnet::cpu

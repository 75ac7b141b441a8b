// Smooth activations, products, and joining channels.
#include <array>

#include "cpu/rules.h"
#include "ops/activation.h"
#include "ops/concat.h"
#include "ops/mul.h"
#include "ops/rules.h"

namespace resnet::cpu {
namespace {

constexpr const char* kSweep = "one sweep";

template <ops::Activation kKind>
class ActivationRules final : public RulesOf<ops::ActivationOf<kKind>> {
  using Operation = ops::ActivationOf<kKind>;
  Lowering lower_this(const Operation&, const Signature& s, const Machine& machine) const override {
    const ops::ValueType& x = *s.inputs[0];
    return {kernels::make_activation(kKind, x.shape.elements(), machine.isa, x.dtype), kSweep};
  }
  Bf16Operands bf16_of(const Operation&) const override { return {.inputs = {0}, .outputs = {0}}; }
  std::vector<std::size_t> in_place_of(const Operation&, std::size_t) const override { return {0}; }
};

template <ops::Activation kKind>
class ActivationGradientRules final : public RulesOf<ops::ActivationGradientOf<kKind>> {
  using Operation = ops::ActivationGradientOf<kKind>;
  using In = ops::ActivationGradientInput;
  Lowering lower_this(const Operation&, const Signature& s, const Machine& machine) const override {
    const ops::ValueType& x = *s.inputs[In::x];
    return {kernels::make_activation_gradient(kKind, x.shape.elements(), machine.isa, x.dtype), kSweep};
  }
  Bf16Operands bf16_of(const Operation&) const override {
    return {.inputs = {In::dy, In::x}, .outputs = {0}};
  }
  std::vector<std::size_t> in_place_of(const Operation&, std::size_t) const override {
    return {In::dy, In::x};
  }
};

class MulRules final : public RulesOf<ops::Mul> {
  using In = ops::MulInput;
  Lowering lower_this(const ops::Mul&, const Signature& s, const Machine& machine) const override {
    const auto& [a, dtype] = *s.inputs[In::a];
    if (ops::Mul::gates(a, s.inputs[In::b]->shape)) {
      return {kernels::make_mul_gate(a[0], a[1], ops::pixels_of(a), machine.isa, dtype),
              "a gate for each channel of an image"};
    }
    return {kernels::make_mul(a.elements(), machine.isa, dtype), kSweep};
  }
  Bf16Operands bf16_of(const ops::Mul&) const override { return {.inputs = {In::a, In::b}, .outputs = {0}}; }
  std::vector<std::size_t> in_place_of(const ops::Mul&, std::size_t) const override { return {In::a}; }
};

class MulGateGradientRules final : public RulesOf<ops::MulGateGradient> {
  using In = ops::MulGateGradientInput;
  Lowering lower_this(const ops::MulGateGradient&, const Signature& s,
                      const Machine& machine) const override {
    const auto& [a, dtype] = *s.inputs[In::a];
    return {kernels::make_mul_gate_gradient(a[0], a[1], ops::pixels_of(a), machine.isa, dtype), kSweep};
  }
  Bf16Operands bf16_of(const ops::MulGateGradient&) const override {
    return {.inputs = {In::dy, In::a}, .outputs = {0}};
  }
};

class ConcatRules final : public RulesOf<ops::Concat> {
  using In = ops::ConcatInput;
  Lowering lower_this(const ops::Concat&, const Signature& s, const Machine& machine) const override {
    const auto& [a, dtype] = *s.inputs[In::a];
    return {
        kernels::make_concat(a[0] * ops::pixels_of(a), a[1], s.inputs[In::b]->shape[1], machine.isa, dtype),
        "copied"};
  }
  Bf16Operands bf16_of(const ops::Concat&) const override {
    return {.inputs = {In::a, In::b}, .outputs = {0}};
  }
};

class SliceRules final : public RulesOf<ops::Slice> {
  Lowering lower_this(const ops::Slice& operation, const Signature& s,
                      const Machine& machine) const override {
    const auto& [x, dtype] = *s.inputs[0];
    const auto& [first, count] = operation.options();
    return {kernels::make_slice(x[0] * ops::pixels_of(x), x[1], first, count, machine.isa, dtype), "copied"};
  }
  Bf16Operands bf16_of(const ops::Slice&) const override { return {.inputs = {0}, .outputs = {0}}; }
};

}  // namespace

RulesList product_rules() {
  static const ActivationRules<ops::Activation::sigmoid> sigmoid;
  static const ActivationRules<ops::Activation::silu> silu;
  static const ActivationRules<ops::Activation::gelu> gelu;
  static const ActivationGradientRules<ops::Activation::sigmoid> sigmoid_gradient;
  static const ActivationGradientRules<ops::Activation::silu> silu_gradient;
  static const ActivationGradientRules<ops::Activation::gelu> gelu_gradient;
  static const MulRules mul;
  static const MulGateGradientRules mul_gate_gradient;
  static const ConcatRules concat;
  static const SliceRules slice;
  static const std::array<const Rules*, 10> list = {&sigmoid,       &silu,          &gelu, &sigmoid_gradient,
                                                    &silu_gradient, &gelu_gradient, &mul,  &mul_gate_gradient,
                                                    &concat,        &slice};
  return list;
}

}  // namespace resnet::cpu

// Pools and their gradients.
#include "kernels/pool/pool.h"

#include <array>

#include "cpu/rules.h"
#include "ops/avg_pool.h"
#include "ops/max_pool.h"

namespace resnet::cpu {
namespace {

class Max final : public RulesOf<ops::MaxPool> {
  Lowering lower_this(const ops::MaxPool& operation, const Signature& s,
                      const Machine& machine) const override {
    const ops::ValueType& x = *s.inputs[ops::MaxPoolInput::x];
    return {kernels::make_max_pool(ops::pool_geometry(operation.window(), x.shape), machine.isa, x.dtype),
            "one sweep"};
  }
  Bf16Operands bf16_of(const ops::MaxPool&) const override {
    return {.inputs = {ops::MaxPoolInput::x}, .outputs = {ops::MaxPoolOutput::y}};
  }
  bool optional_output_of(const ops::MaxPool&, std::size_t output) const override {
    return output == ops::MaxPoolOutput::index;
  }
};

class MaxGradient final : public RulesOf<ops::MaxPoolGradient> {
  Lowering lower_this(const ops::MaxPoolGradient& operation, const Signature& s,
                      const Machine& machine) const override {
    const auto& [window, x] = operation.options();
    return {kernels::make_max_pool_gradient(ops::pool_geometry(window, x), machine.isa,
                                            s.inputs[ops::MaxPoolGradientInput::dy]->dtype),
            "gathered, one sweep"};
  }
  Bf16Operands bf16_of(const ops::MaxPoolGradient&) const override {
    return {.inputs = {ops::MaxPoolGradientInput::dy}, .outputs = {0}};
  }
};

template <bool kGlobal>
class Average final : public RulesOf<ops::AveragePool<kGlobal>> {
  using Operation = ops::AveragePool<kGlobal>;
  Lowering lower_this(const Operation& operation, const Signature& s, const Machine& machine) const override {
    const ops::ValueType& x = *s.inputs[0];
    return {kernels::make_avg_pool(operation.geometry(x.shape), machine.isa, x.dtype), "one sweep"};
  }
  Bf16Operands bf16_of(const Operation&) const override { return {.inputs = {0}, .outputs = {0}}; }
};

template <bool kGlobal>
class AverageGradient final : public RulesOf<ops::AveragePoolGradient<kGlobal>> {
  using Operation = ops::AveragePoolGradient<kGlobal>;
  Lowering lower_this(const Operation& operation, const Signature& s, const Machine& machine) const override {
    return {kernels::make_avg_pool_gradient(operation.geometry(), machine.isa, s.inputs[0]->dtype),
            "one sweep"};
  }
  Bf16Operands bf16_of(const Operation&) const override { return {.inputs = {0}, .outputs = {0}}; }
};

}  // namespace

RulesList pool_rules() {
  static const Max max;
  static const MaxGradient max_gradient;
  static const Average<false> average;
  static const AverageGradient<false> average_gradient;
  static const Average<true> global_average;
  static const AverageGradient<true> global_average_gradient;
  static const std::array<const Rules*, 6> list = {
      &max, &max_gradient, &average, &average_gradient, &global_average, &global_average_gradient};
  return list;
}

}  // namespace resnet::cpu

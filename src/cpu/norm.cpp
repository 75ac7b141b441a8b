// batch_norm and its gradient.
#include "kernels/norm/norm.h"

#include <array>
#include <string>

#include "cpu/rules.h"
#include "ops/batch_norm.h"

namespace resnet::cpu {
namespace {

using kernels::NormGeometry;

// What x is stored as; where it is absent, no map is touched.
DType storage_of(const ops::ValueType* map) {
  return map != nullptr ? map->dtype : DType::f32;
}

class Norm final : public RulesOf<ops::BatchNorm> {
  using In = ops::BatchNormInput;
  using Out = ops::BatchNormOutput;
  bool serves_this(const ops::BatchNorm& operation, const Signature& s, const Machine&) const override {
    const NormGeometry g = operation.geometry(s.inputs);
    return !g.pool || kernels::norm_fuses(*g.pool);
  }
  Lowering lower_this(const ops::BatchNorm& operation, const Signature& s,
                      const Machine& machine) const override {
    const NormGeometry g = operation.geometry(s.inputs);
    const DType storage = storage_of(s.inputs[In::x]);
    const std::string rest = g.coefficients_only ? "; applied by its readers" : "";
    if (!operation.options().training) {
      return {kernels::make_norm_eval(g, machine.isa, storage),
              std::string("running statistics") + (g.coefficients_only ? "; applied by its neighbours" : "")};
    }
    return {
        kernels::make_norm_train(g, machine.isa, storage),
        (g.stats_from_producer ? "batch statistics from its producer" : "batch statistics in fixed chunks") +
            rest};
  }
  Bf16Operands bf16_of(const ops::BatchNorm& operation) const override {
    if (operation.options().coefficients_only) return {.inputs = {In::x}};
    if (operation.options().residual) return {.inputs = {In::x, In::residual}, .outputs = {Out::y}};
    return {.inputs = {In::x}, .outputs = {Out::y}};
  }
  std::vector<std::size_t> in_place_of(const ops::BatchNorm& operation, std::size_t output) const override {
    const ops::BatchNormOptions& o = operation.options();
    if (output == Out::running_mean) return {In::running_mean};
    if (output == Out::running_var) return {In::running_var};
    if (output != Out::y || o.pool || o.coefficients_only) return {};
    std::vector<std::size_t> result;
    if (!o.training) result.push_back(In::x);
    if (o.residual) result.push_back(In::residual);
    return result;
  }
  bool optional_output_of(const ops::BatchNorm& operation, std::size_t output) const override {
    return output >= (operation.options().training ? std::size_t{Out::running_mean} : std::size_t{Out::mean});
  }
};

class NormGradient final : public RulesOf<ops::BatchNormGradient> {
  using In = ops::BatchNormGradientInput;
  using Out = ops::BatchNormGradientOutput;
  bool serves_this(const ops::BatchNormGradient& operation, const Signature& s,
                   const Machine&) const override {
    const NormGeometry g = operation.geometry(s.inputs);
    return !g.pool || kernels::norm_fuses(*g.pool);
  }
  Lowering lower_this(const ops::BatchNormGradient& operation, const Signature& s,
                      const Machine& machine) const override {
    const NormGeometry g = operation.geometry(s.inputs);
    return {kernels::make_norm_gradient(g, machine.isa, storage_of(s.inputs[In::dz])),
            std::string(g.stats_from_producer ? "sums from its producer" : "sums in fixed chunks") +
                (g.coefficients_only ? "; applied by its reader" : ", then one sweep")};
  }
  Bf16Operands bf16_of(const ops::BatchNormGradient& operation) const override {
    const ops::BatchNormGradientOptions& o = operation.options();
    Bf16Operands operands{.inputs = {In::dz, In::x}};
    if (!o.coefficients_only) operands.outputs.push_back(Out::dx);
    if (o.gate == ops::Gate::value) operands.inputs.push_back(In::gate);
    if (o.residual) operands.outputs.push_back(Out::dresidual);
    return operands;
  }
  // dx takes over x where that is free: dz is then left for dresidual.
  std::vector<std::size_t> in_place_of(const ops::BatchNormGradient& operation,
                                       std::size_t output) const override {
    const ops::BatchNormGradientOptions& o = operation.options();
    if (o.coefficients_only) return {};
    if (output == Out::dx)
      return o.pool ? std::vector<std::size_t>{In::x} : std::vector<std::size_t>{In::x, In::dz};
    if (output == Out::dresidual) return {In::dz};
    return {};
  }
};

}  // namespace

RulesList norm_rules() {
  static const Norm norm;
  static const NormGradient gradient;
  static const std::array<const Rules*, 2> list = {&norm, &gradient};
  return list;
}

}  // namespace resnet::cpu

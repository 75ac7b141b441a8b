// batch_norm and its gradient: sums, a table by channel, one sweep.
#include "kernels/norm/norm.h"

#include <array>

#include "gpu/sums.h"
#include "ops/batch_norm.h"

namespace resnet::gpu {
namespace {

using kernels::NormGeometry;

constexpr std::int64_t kEight = 8;  // elements that a thread of a sweep takes at a time

class Norm final : public RulesOf<ops::BatchNorm> {
  using In = ops::BatchNormInput;
  using Out = ops::BatchNormOutput;
  bool serves_this(const ops::BatchNorm& operation, const Signature&, const Machine&) const override {
    const ops::BatchNormOptions& o = operation.options();
    return !o.pool && !o.stats_from_producer && !o.coefficients_only && o.samples == 0;
  }
  Lowering lower_this(const ops::BatchNorm& operation, const Signature& s, const Machine&) const override {
    const ops::BatchNormOptions& o = operation.options();
    const NormGeometry g = operation.geometry(s.inputs);
    const DType storage = s.inputs[In::x]->dtype;
    const RowSums sums(g.rows(), g.c, 2);
    const bool training = o.training, residual = o.residual, relu = o.relu, mask = o.relu_mask;
    const std::int64_t table = training ? plan::aligned(sums.bytes(), kAlignment) : 0;
    const auto record = [=](Recorder& r) {
      const std::size_t first = residual ? 6 : 5;  // of the results
      device::NormTableArgs of_table{.gamma = r.operand<const float>(1),
                                     .beta = r.operand<const float>(2),
                                     .running_mean = r.operand<const float>(3),
                                     .running_var = r.operand<const float>(4),
                                     .table = r.workspace<float>(table),
                                     .nonfinite = r.nonfinite(),
                                     .eps = g.eps,
                                     .momentum = g.momentum,
                                     .rows = g.rows(),
                                     .c = g.c,
                                     .shares = sums.shares};
      if (training) {
        sums.launch(r, kernel_of(KernelId::norm_moments_f32, storage), {.x = r.operand(0)});
        of_table.parts = r.workspace<double>();
        of_table.mean = r.operand<float>(first + Out::mean);
        of_table.inv_std = r.operand<float>(first + Out::inv_std);
        of_table.new_running_mean = r.operand<float>(first + Out::running_mean);
        of_table.new_running_var = r.operand<float>(first + Out::running_var);
      }
      r.launch(KernelId::norm_table, divided(g.c, device::kThreads), of_table);
      r.launch(kernel_of(KernelId::norm_apply_f32, storage), sweep_blocks(g.rows() * g.c, kEight),
               device::NormApplyArgs{.x = r.operand(0),
                                     .residual = residual ? r.operand(5) : nullptr,
                                     .table = r.workspace<float>(table),
                                     .z = r.operand(first),
                                     .mask = mask ? r.operand<std::uint8_t>(first + Out::relu_mask) : nullptr,
                                     .rows = g.rows(),
                                     .c = g.c,
                                     .relu = relu ? 1 : 0});
    };
    std::string name = training ? "norm_train" : "norm_eval";
    if (residual) name += "+add";
    if (relu) name += mask ? "+relu_mask" : "+relu";
    return lowered(
        {.name = name, .record = record, .workspace_bytes = table + 3 * g.c * std::int64_t{sizeof(float)}},
        training ? "batch statistics: " + sums.reason() : "running statistics");
  }
  Bf16Operands bf16_of(const ops::BatchNorm& operation) const override {
    if (operation.options().residual) return {.inputs = {In::x, In::residual}, .outputs = {Out::y}};
    return {.inputs = {In::x}, .outputs = {Out::y}};
  }
  std::vector<std::size_t> in_place_of(const ops::BatchNorm& operation, std::size_t output) const override {
    const ops::BatchNormOptions& o = operation.options();
    if (output == Out::running_mean) return {In::running_mean};
    if (output == Out::running_var) return {In::running_var};
    if (output != Out::y) return {};
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
  bool serves_this(const ops::BatchNormGradient& operation, const Signature&, const Machine&) const override {
    const ops::BatchNormGradientOptions& o = operation.options();
    return !o.pool && !o.sums_from_producer && !o.coefficients_only && o.samples == 0 &&
           o.gate != ops::Gate::coefficients;
  }
  // The kernels by gate stand in the order none, value, mask, two storages each.
  static KernelId gated(KernelId none_f32, ops::Gate gate, DType storage) {
    const std::uint32_t step = gate == ops::Gate::none ? 0 : gate == ops::Gate::value ? 2 : 4;
    return kernel_of(static_cast<KernelId>(static_cast<std::uint32_t>(none_f32) + step), storage);
  }
  Lowering lower_this(const ops::BatchNormGradient& operation, const Signature& s,
                      const Machine&) const override {
    const ops::BatchNormGradientOptions& o = operation.options();
    const NormGeometry g = operation.geometry(s.inputs);
    const DType storage = s.inputs[In::dz]->dtype;
    const RowSums sums(g.rows(), g.c, 2);
    const bool has_gate = o.gate != ops::Gate::none, residual = o.residual;
    const KernelId of_sums = gated(KernelId::norm_gradient_sums_f32, o.gate, storage);
    const KernelId of_apply = gated(KernelId::norm_gradient_apply_f32, o.gate, storage);
    const std::int64_t table = plan::aligned(sums.bytes(), kAlignment);
    const auto record = [=](Recorder& r) {
      const std::size_t first = has_gate ? 6 : 5;  // of the results
      const void* const gate = has_gate ? r.operand(5) : nullptr;
      sums.launch(r, of_sums,
                  {.x = r.operand(1), .dz = r.operand(0), .gate = gate, .mean = r.operand<const float>(3)});
      r.launch(KernelId::norm_gradient_table, divided(g.c, device::kThreads),
               device::NormGradientTableArgs{.parts = r.workspace<double>(),
                                             .gamma = r.operand<const float>(2),
                                             .mean = r.operand<const float>(3),
                                             .inv_std = r.operand<const float>(4),
                                             .dgamma = r.operand<float>(first + Out::dgamma),
                                             .dbeta = r.operand<float>(first + Out::dbeta),
                                             .table = r.workspace<float>(table),
                                             .rows = g.rows(),
                                             .c = g.c,
                                             .shares = sums.shares});
      r.launch(
          of_apply, sweep_blocks(g.rows() * g.c, kEight),
          device::NormGradientApplyArgs{.x = r.operand(1),
                                        .dz = r.operand(0),
                                        .gate = gate,
                                        .table = r.workspace<float>(table),
                                        .dx = r.operand(first),
                                        .dresidual = residual ? r.operand(first + Out::dresidual) : nullptr,
                                        .rows = g.rows(),
                                        .c = g.c});
    };
    std::string name = "norm_gradient";
    if (has_gate) name += o.gate == ops::Gate::mask ? "+relu_mask" : "+relu";
    if (residual) name += "+add";
    return lowered(
        {.name = name, .record = record, .workspace_bytes = table + 4 * g.c * std::int64_t{sizeof(float)}},
        sums.reason() + ", then one sweep");
  }
  Bf16Operands bf16_of(const ops::BatchNormGradient& operation) const override {
    const ops::BatchNormGradientOptions& o = operation.options();
    Bf16Operands operands{.inputs = {In::dz, In::x}, .outputs = {Out::dx}};
    if (o.gate == ops::Gate::value) operands.inputs.push_back(In::gate);
    if (o.residual) operands.outputs.push_back(Out::dresidual);
    return operands;
  }
  // dx takes over x where that is free: dz is then left for dresidual.
  std::vector<std::size_t> in_place_of(const ops::BatchNormGradient&, std::size_t output) const override {
    if (output == Out::dx) return {In::x, In::dz};
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

}  // namespace resnet::gpu

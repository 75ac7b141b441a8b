// batch_norm and its gradient: sums, a table by channel, one sweep.
#include "kernels/norm/norm.h"

#include <array>

#include "gpu/parts.h"
#include "gpu/sums.h"
#include "ops/batch_norm.h"

namespace resnet::gpu {
namespace {

using kernels::NormGeometry;

std::int64_t pooled_elements(const NormGeometry& g) {
  return g.n * g.pool->ho() * g.pool->wo() * g.c;
}
// Neighbouring channels that a thread of a pool takes at a time.
std::int64_t chunk_of(const NormGeometry& g, DType storage) {
  return g.c % pack_of(storage) == 0 ? pack_of(storage) : 1;
}

class Norm final : public RulesOf<ops::BatchNorm> {
  using In = ops::BatchNormInput;
  using Out = ops::BatchNormOutput;
  Lowering lower_this(const ops::BatchNorm& operation, const Signature& s, const Machine&) const override {
    const ops::BatchNormOptions& o = operation.options();
    const NormGeometry g = operation.geometry(s.inputs);
    const Places at(operation, s);
    const DType storage = s.inputs[In::x] != nullptr ? s.inputs[In::x]->dtype : DType::f32;
    const RowSums sums(g.rows(), g.c, 2);
    const bool relu = o.relu, coefficients_only = o.coefficients_only,
               sweeps = o.training && !o.stats_from_producer;
    const std::int64_t table = sweeps ? plan::aligned(sums.bytes(), kAlignment) : 0;
    const auto record = [=](Recorder& r) {
      device::NormTableArgs of_table{
          .moments = r.operand<const float>(at.input(In::moments)),
          .gamma = r.operand<const float>(at.input(In::gamma)),
          .beta = r.operand<const float>(at.input(In::beta)),
          .running_mean = r.operand<const float>(at.input(In::running_mean)),
          .running_var = r.operand<const float>(at.input(In::running_var)),
          .mean = r.operand<float>(at.output(Out::mean)),
          .inv_std = r.operand<float>(at.output(Out::inv_std)),
          .new_running_mean = r.operand<float>(at.output(Out::running_mean)),
          .new_running_var = r.operand<float>(at.output(Out::running_var)),
          .table = coefficients_only ? r.operand<float>(at.output(Out::y)) : r.workspace<float>(table),
          .nonfinite = r.nonfinite(),
          .eps = g.eps,
          .momentum = g.momentum,
          .rows = g.counted(),
          .c = g.c,
          .shares = sums.shares};
      if (sweeps) {
        sums.launch(r, kernel_of(KernelId::norm_moments_f32, storage),
                    sums.args(r, {.x = r.operand(at.input(In::x))}));
        of_table.parts = r.workspace<double>();
      }
      launch_merge(r, KernelId::norm_table, of_table);
      if (coefficients_only) return;
      if (g.pool) {
        device::NormPoolArgs pooled{
            .pool = pool_args(*g.pool), .table = of_table.table, .relu = relu ? 1 : 0};
        pooled.pool.x = r.operand(at.input(In::x));
        pooled.pool.y = r.operand(at.output(Out::y));
        pooled.pool.index = r.operand(at.output(Out::pool_index));
        r.launch(kernel_of(KernelId::norm_pool_f32, storage),
                 sweep_blocks(pooled_elements(g), chunk_of(g, storage)), pooled);
        return;
      }
      r.launch(kernel_of(KernelId::norm_apply_f32, storage), sweep_blocks(g.rows() * g.c, kEight),
               device::NormApplyArgs{.x = r.operand(at.input(In::x)),
                                     .residual = r.operand(at.input(In::residual)),
                                     .table = of_table.table,
                                     .z = r.operand(at.output(Out::y)),
                                     .mask = r.operand<std::uint8_t>(at.output(Out::relu_mask)),
                                     .rows = g.rows(),
                                     .c = g.c,
                                     .relu = relu ? 1 : 0});
    };
    std::string name = coefficients_only ? "norm_table" : o.training ? "norm_train" : "norm_eval";
    if (o.residual) name += "+add";
    if (relu) name += o.relu_mask ? "+relu_mask" : "+relu";
    if (g.pool) name += "+max_pool";
    return lowered(
        {.name = name,
         .record = record,
         .workspace_bytes = table + (coefficients_only ? 0 : 3 * g.c * std::int64_t{sizeof(float)})},
        o.stats_from_producer ? "moments of the convolution"
        : o.training          ? "batch statistics: " + sums.reason()
                              : "running statistics");
  }
  Bf16Operands bf16_of(const ops::BatchNorm& operation) const override {
    const ops::BatchNormOptions& o = operation.options();
    if (o.residual) return {.inputs = {In::x, In::residual}, .outputs = {Out::y}};
    if (o.coefficients_only) return {.inputs = {In::x}};
    return {.inputs = {In::x}, .outputs = {Out::y}};
  }
  std::vector<std::size_t> in_place_of(const ops::BatchNorm& operation, std::size_t output) const override {
    const ops::BatchNormOptions& o = operation.options();
    if (output == Out::running_mean) return {In::running_mean};
    if (output == Out::running_var) return {In::running_var};
    if (output != Out::y || o.coefficients_only || o.pool) return {};
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
  // The kernels by gate stand in the order of ops::Gate, two storages each.
  static KernelId gated(KernelId none_f32, ops::Gate gate, DType storage) {
    return kernel_of(
        static_cast<KernelId>(static_cast<std::uint32_t>(none_f32) + 2 * static_cast<std::uint32_t>(gate)),
        storage);
  }
  Lowering lower_this(const ops::BatchNormGradient& operation, const Signature& s,
                      const Machine&) const override {
    const ops::BatchNormGradientOptions& o = operation.options();
    const NormGeometry g = operation.geometry(s.inputs);
    const Places at(operation, s);
    const DType storage = s.inputs[In::dz] != nullptr ? s.inputs[In::dz]->dtype : DType::f32;
    const RowSums sums(g.pool ? pooled_elements(g) / g.c : g.rows(), g.c, 2);
    const KernelId of_sums = gated(KernelId::norm_gradient_sums_f32, o.gate, storage);
    const KernelId of_apply = gated(KernelId::norm_gradient_apply_f32, o.gate, storage);
    const bool coefficients_only = o.coefficients_only, sweeps = !o.sums_from_producer;
    const ops::Gate o_gate = o.gate;
    const std::int64_t table = sweeps ? plan::aligned(sums.bytes(), kAlignment) : 0;
    const auto record = [=](Recorder& r) {
      const void *const dz = r.operand(at.input(In::dz)), *const x = r.operand(at.input(In::x));
      const void* const gate = r.operand(at.input(In::gate));
      device::NormGradientTableArgs of_table{
          .sums = r.operand<const float>(at.input(In::sums)),
          .gamma = r.operand<const float>(at.input(In::gamma)),
          .mean = r.operand<const float>(at.input(In::mean)),
          .inv_std = r.operand<const float>(at.input(In::inv_std)),
          .dgamma = r.operand<float>(at.output(Out::dgamma)),
          .dbeta = r.operand<float>(at.output(Out::dbeta)),
          .table = coefficients_only ? r.operand<float>(at.output(Out::dx)) : r.workspace<float>(table),
          .rows = g.counted(),
          .c = g.c,
          .shares = sums.shares};
      const device::SumsArgs of_maps{.x = x, .dz = dz, .gate = gate, .mean = of_table.mean};
      if (sweeps) of_table.parts = r.workspace<double>();
      if (g.pool) {
        device::NormPoolGradientArgs pooled{.pool = pool_args(*g.pool), .sums = sums.args(r, of_maps)};
        pooled.pool.y = r.operand(at.output(Out::dx));
        pooled.pool.index = r.operand(at.input(In::pool_index));
        sums.launch(r, gated(KernelId::norm_pool_gradient_sums_f32, o_gate, storage), pooled);
        launch_merge(r, KernelId::norm_gradient_table, of_table);
        pooled.table = of_table.table;
        r.launch(gated(KernelId::norm_pool_gradient_apply_f32, o_gate, storage),
                 sweep_blocks(g.rows() * g.c, chunk_of(g, storage)), pooled);
        return;
      }
      if (sweeps) sums.launch(r, of_sums, sums.args(r, of_maps));
      launch_merge(r, KernelId::norm_gradient_table, of_table);
      if (coefficients_only) return;
      r.launch(of_apply, sweep_blocks(g.rows() * g.c, kEight),
               device::NormGradientApplyArgs{.x = x,
                                             .dz = dz,
                                             .gate = gate,
                                             .table = of_table.table,
                                             .dx = r.operand(at.output(Out::dx)),
                                             .dresidual = r.operand(at.output(Out::dresidual)),
                                             .rows = g.rows(),
                                             .c = g.c});
    };
    std::string name = coefficients_only ? "norm_gradient_table" : "norm_gradient";
    if (o.gate != ops::Gate::none) name += o.gate == ops::Gate::mask ? "+relu_mask" : "+relu";
    if (o.residual) name += "+add";
    if (g.pool) name += "+max_pool";
    return lowered(
        {.name = name,
         .record = record,
         .workspace_bytes = table + (coefficients_only ? 0 : 4 * g.c * std::int64_t{sizeof(float)})},
        (sweeps ? sums.reason() : std::string("sums of the convolution")) +
            (coefficients_only ? "" : ", then one sweep"));
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
    if (operation.options().pool) return {};
    if (output == Out::dx && !operation.options().coefficients_only) return {In::x, In::dz};
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

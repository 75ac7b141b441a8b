// Pools and their gradients.
#include <array>
#include <limits>

#include "gpu/rules.h"
#include "ops/avg_pool.h"
#include "ops/max_pool.h"

namespace resnet::gpu {
namespace {

using kernels::PoolGeometry;

std::int64_t inputs_of(const PoolGeometry& g) {
  return g.n * g.h * g.w * g.c;
}
std::int64_t outputs_of(const PoolGeometry& g) {
  return g.n * g.ho() * g.wo() * g.c;
}

// A thread takes 16 bytes of channels at a time where a pixel has whole ones.
Lowering pooled(KernelId f32, DType storage, const PoolGeometry& g, std::int64_t elements, bool reads_index) {
  const std::int64_t each = g.c % pack_of(storage) == 0 ? pack_of(storage) : 1;
  return one_launch(kernel_of(f32, storage), sweep_blocks(elements, each),
                    [args = pool_args(g), reads_index](const Recorder& r) {
                      device::PoolArgs a = args;
                      a.x = r.operand(0);
                      a.y = r.operand(reads_index ? 2 : 1);
                      a.index = r.operand(reads_index ? 1 : 2);
                      return a;
                    });
}

class Max final : public RulesOf<ops::MaxPool> {
  Lowering lower_this(const ops::MaxPool& operation, const Signature& s, const Machine&) const override {
    const ops::ValueType& x = *s.inputs[ops::MaxPoolInput::x];
    const PoolGeometry g = ops::pool_geometry(operation.window(), x.shape);
    return pooled(KernelId::max_pool_f32, x.dtype, g, outputs_of(g), false);
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
                      const Machine&) const override {
    const auto& [window, x] = operation.options();
    const PoolGeometry g = ops::pool_geometry(window, x);
    return pooled(KernelId::max_pool_gradient_f32, s.inputs[ops::MaxPoolGradientInput::dy]->dtype, g,
                  inputs_of(g), true);
  }
  Bf16Operands bf16_of(const ops::MaxPoolGradient&) const override {
    return {.inputs = {ops::MaxPoolGradientInput::dy}, .outputs = {0}};
  }
};

template <bool kGlobal>
class Average final : public RulesOf<ops::AveragePool<kGlobal>> {
  using Operation = ops::AveragePool<kGlobal>;
  Lowering lower_this(const Operation& operation, const Signature& s, const Machine&) const override {
    const ops::ValueType& x = *s.inputs[0];
    const PoolGeometry g = operation.geometry(x.shape);
    return pooled(KernelId::avg_pool_f32, x.dtype, g, outputs_of(g), false);
  }
  Bf16Operands bf16_of(const Operation&) const override { return {.inputs = {0}, .outputs = {0}}; }
};

template <bool kGlobal>
class AverageGradient final : public RulesOf<ops::AveragePoolGradient<kGlobal>> {
  using Operation = ops::AveragePoolGradient<kGlobal>;
  Lowering lower_this(const Operation& operation, const Signature& s, const Machine&) const override {
    const PoolGeometry g = operation.geometry();
    return pooled(KernelId::avg_pool_gradient_f32, s.inputs[0]->dtype, g, inputs_of(g), false);
  }
  Bf16Operands bf16_of(const Operation&) const override { return {.inputs = {0}, .outputs = {0}}; }
};

}  // namespace

device::PoolArgs pool_args(const PoolGeometry& g) {
  if (std::max(inputs_of(g), outputs_of(g)) > std::numeric_limits<std::int32_t>::max())
    throw BeyondKernels("a pool has too many elements for the GPU's kernels",
                        "use a smaller batch or smaller images");
  const auto narrow = [](std::int64_t v) { return static_cast<std::int32_t>(v); };
  return {.wide_index = kernels::max_pool_index_dtype(g) == DType::i32 ? 1 : 0,
          .count_padding = g.count_padding ? 1 : 0,
          .n = narrow(g.n),
          .c = narrow(g.c),
          .h = narrow(g.h),
          .w = narrow(g.w),
          .ho = narrow(g.ho()),
          .wo = narrow(g.wo()),
          .kh = narrow(g.kh),
          .kw = narrow(g.kw),
          .sh = narrow(g.sh),
          .sw = narrow(g.sw),
          .ph = narrow(g.ph),
          .pw = narrow(g.pw)};
}

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

}  // namespace resnet::gpu

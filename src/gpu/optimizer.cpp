// The optimisers' updates.
#include <array>

#include "gpu/rules.h"
#include "ops/adamw.h"
#include "ops/average.h"
#include "ops/sgd.h"

namespace resnet::gpu {
namespace {

template <class O>
class UpdateRules : public RulesOf<O> {
 protected:
  std::vector<std::size_t> in_place_of(const O&, std::size_t output) const override {
    return {ops::updated_input(output)};
  }
  // The kernel of an update with so many slots; `args` has its numbers.
  static Lowering lowered_update(KernelId kernel, const Signature& s, std::size_t slots,
                                 device::UpdateArgs args) {
    args.elements = s.inputs[ops::UpdateInput::parameter]->shape.elements();
    return one_launch(kernel, sweep_blocks(args.elements), [args, slots](const Recorder& r) {
      device::UpdateArgs a = args;
      a.parameter = r.operand<const float>(0);
      a.gradient = r.operand<const float>(1);
      a.step = r.operand<const float>(2);
      if (slots > 0) a.slot0 = r.operand<const float>(3);
      if (slots > 1) a.slot1 = r.operand<const float>(4);
      const std::size_t first = 3 + slots;
      a.updated = r.operand<float>(first);
      if (slots > 0) a.updated0 = r.operand<float>(first + 1);
      if (slots > 1) a.updated1 = r.operand<float>(first + 2);
      a.nonfinite = r.nonfinite();
      return a;
    });
  }
};

class SgdRules final : public UpdateRules<ops::Sgd> {
  Lowering lower_this(const ops::Sgd& sgd, const Signature& s, const Machine&) const override {
    const kernels::SgdUpdate& u = sgd.update();
    return lowered_update(KernelId::sgd, s, u.momentum ? 1 : 0,
                          {.dampening = u.dampening,
                           .weight_decay = u.weight_decay,
                           .lr_factor = u.lr_factor,
                           .momentum = u.momentum ? 1 : 0,
                           .nesterov = u.nesterov ? 1 : 0});
  }
};

class AdamWRules final : public UpdateRules<ops::AdamW> {
  Lowering lower_this(const ops::AdamW& adamw, const Signature& s, const Machine&) const override {
    const kernels::AdamWUpdate& u = adamw.update();
    return lowered_update(
        KernelId::adamw, s, 2,
        {.weight_decay = u.weight_decay, .lr_factor = u.lr_factor, .beta2 = u.beta2, .eps = u.eps});
  }
};

class AverageRules final : public RulesOf<ops::Average> {
  std::vector<std::size_t> in_place_of(const ops::Average&, std::size_t) const override {
    return {ops::AverageInput::average};
  }
  Lowering lower_this(const ops::Average&, const Signature& s, const Machine&) const override {
    const std::int64_t elements = s.outputs[0].shape.elements();
    return one_launch(KernelId::average, sweep_blocks(elements), [elements](const Recorder& r) {
      device::UpdateArgs a;
      a.slot0 = r.operand<const float>(ops::AverageInput::average);
      a.parameter = r.operand<const float>(ops::AverageInput::value);
      a.step = r.operand<const float>(ops::AverageInput::share);
      a.updated0 = r.operand<float>(3);
      a.elements = elements;
      return a;
    });
  }
};

}  // namespace

RulesList optimizer_rules() {
  static const SgdRules sgd;
  static const AdamWRules adamw;
  static const AverageRules average;
  static const std::array<const Rules*, 3> list = {&sgd, &adamw, &average};
  return list;
}

}  // namespace resnet::gpu

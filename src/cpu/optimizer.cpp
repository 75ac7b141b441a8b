// The optimisers' updates.
#include "kernels/optimizer/optimizer.h"

#include <array>

#include "cpu/rules.h"
#include "ops/adamw.h"
#include "ops/average.h"
#include "ops/sgd.h"

namespace resnet::cpu {
namespace {

template <class O>
class UpdateRules : public RulesOf<O> {
 protected:
  std::vector<std::size_t> in_place_of(const O&, std::size_t output) const override {
    return {ops::updated_input(output)};
  }
  static std::int64_t elements(const Signature& s) {
    return s.inputs[ops::UpdateInput::parameter]->shape.elements();
  }
};

class SgdRules final : public UpdateRules<ops::Sgd> {
  Lowering lower_this(const ops::Sgd& sgd, const Signature& s, const Machine& machine) const override {
    return {kernels::make_sgd(sgd.update(), elements(s), machine.isa), "in place"};
  }
};

class AdamWRules final : public UpdateRules<ops::AdamW> {
  Lowering lower_this(const ops::AdamW& adamw, const Signature& s, const Machine& machine) const override {
    return {kernels::make_adamw(adamw.update(), elements(s), machine.isa), "in place"};
  }
};

class AverageRules final : public RulesOf<ops::Average> {
  std::vector<std::size_t> in_place_of(const ops::Average&, std::size_t) const override {
    return {ops::AverageInput::average};
  }
  Lowering lower_this(const ops::Average&, const Signature& s, const Machine& machine) const override {
    return {kernels::make_average(s.outputs[0].shape.elements(), machine.isa), "in place"};
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

}  // namespace resnet::cpu

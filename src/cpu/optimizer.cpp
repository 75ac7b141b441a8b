// The optimisers' updates.
#include "kernels/optimizer/optimizer.h"

#include <array>

#include "cpu/rules.h"
#include "ops/sgd.h"

namespace resnet::cpu {
namespace {

class SgdRules final : public RulesOf<ops::Sgd> {
  Lowering lower_this(const ops::Sgd&, const Signature& s, const Machine& machine) const override {
    return {kernels::make_sgd(s.inputs[ops::SgdInput::parameter]->shape.elements(), machine.isa), "in place"};
  }
  std::vector<std::size_t> in_place_of(const ops::Sgd&, std::size_t) const override {
    return {ops::SgdInput::parameter};
  }
};

}  // namespace

RulesList optimizer_rules() {
  static const SgdRules sgd;
  static const std::array<const Rules*, 1> list = {&sgd};
  return list;
}

}  // namespace resnet::cpu

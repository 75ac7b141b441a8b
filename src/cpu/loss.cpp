// The loss and its gradient.
#include "kernels/loss/loss.h"

#include <array>

#include "cpu/rules.h"
#include "ops/cross_entropy.h"

namespace resnet::cpu {
namespace {

bool mixed(const Signature& s) {
  return s.inputs[ops::CrossEntropyInput::mixed_labels] != nullptr;
}

class CrossEntropyRules final : public RulesOf<ops::CrossEntropy> {
  Lowering lower_this(const ops::CrossEntropy& loss, const Signature& s,
                      const Machine& machine) const override {
    const Shape& logits = s.inputs[ops::CrossEntropyInput::logits]->shape;
    return {kernels::make_cross_entropy(logits[0], logits[1], machine.isa, loss.options(), mixed(s)),
            "sums in double"};
  }
};

class CrossEntropyGradientRules final : public RulesOf<ops::CrossEntropyGradient> {
  Lowering lower_this(const ops::CrossEntropyGradient& gradient, const Signature& s,
                      const Machine& machine) const override {
    const Shape& logits = s.inputs[ops::CrossEntropyInput::logits]->shape;
    return {
        kernels::make_cross_entropy_gradient(logits[0], logits[1], machine.isa, gradient.options(), mixed(s)),
        "sums in double"};
  }
};

}  // namespace

RulesList loss_rules() {
  static const CrossEntropyRules loss;
  static const CrossEntropyGradientRules gradient;
  static const std::array<const Rules*, 2> list = {&loss, &gradient};
  return list;
}

}  // namespace resnet::cpu

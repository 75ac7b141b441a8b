#include "cpu/target.h"

#include "cpu/rules.h"
#include "kernels/simd/storage.h"

namespace resnet::cpu {
namespace {

const compiler::RuleBook<Machine>& rules() {
  static const compiler::RuleBook<Machine> kRules(
      "the CPU", {conv_rules(), norm_rules(), pool_rules(), elementwise_rules(), product_rules(),
                  loss_rules(), optimizer_rules()});
  return kRules;
}

const Rules& rules_of(const Operation& operation) {
  return rules().of(operation);
}

}  // namespace

Target::Target(Isa isa) : isa_(isa), choices_(std::make_unique<ConvChoices>()) {}
Target::~Target() = default;

bool Target::knows(std::string_view kind) {
  return rules().knows(kind);
}

std::string_view Target::name() const {
  return name_of(isa_);
}

void Target::check(DType activations) const {
  kernels::check_storage(activations, isa_);
}

bool Target::serves(const Operation& operation, const Signature& signature) const {
  return rules_of(operation).serves(operation, signature, {isa_, *choices_});
}

Lowering Target::lower(const graph::Node& node, const Signature& signature) const {
  const Operation& operation = ops::operation(node);
  return rules_of(operation).lower(operation, signature, {isa_, *choices_});
}

Bf16Operands Target::bf16_operands(const Operation& operation) const {
  return rules_of(operation).bf16_operands(operation);
}

std::vector<std::size_t> Target::in_place(const Operation& operation, std::size_t output) const {
  return rules_of(operation).in_place(operation, output);
}

bool Target::optional_output(const Operation& operation, std::size_t output) const {
  return rules_of(operation).optional_output(operation, output);
}

}  // namespace resnet::cpu

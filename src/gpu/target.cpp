#include "gpu/target.h"

#include "gpu/rules.h"

namespace resnet::gpu {
namespace {

const compiler::RuleBook<Machine>& rules() {
  static const compiler::RuleBook<Machine> kRules(
      "the GPU", {conv_rules(), stem_rules(), norm_rules(), pool_rules(), elementwise_rules(), loss_rules(),
                  optimizer_rules()});
  return kRules;
}

const Rules& rules_of(const Operation& operation) {
  return rules().of(operation);
}

}  // namespace

bool Target::knows(std::string_view kind) {
  return rules().knows(kind);
}

void Target::check(DType activations) const {
  if (activations != DType::f32 && activations != DType::bf16)
    throw ConfigError("a GPU stores activations as f32 or bf16");
}

bool Target::serves(const Operation& operation, const Signature& signature) const {
  return rules_of(operation).serves(operation, signature, {products_, cudnn_, own_3x3_});
}

Lowering Target::lower(const graph::Node& node, const Signature& signature) const {
  const Operation& operation = ops::operation(node);
  return rules_of(operation).lower(operation, signature, {products_, cudnn_, own_3x3_});
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

}  // namespace resnet::gpu

#include "gpu/target.h"

#include <utility>

#include "gpu/rules.h"

namespace resnet::gpu {
namespace {

const compiler::RuleBook<Machine>& book() {
  static const compiler::RuleBook<Machine> kBook(
      "the GPU", {conv_rules(), stem_rules(), norm_rules(), pool_rules(), elementwise_rules(), loss_rules(),
                  optimizer_rules()});
  return kBook;
}

}  // namespace

Target::Target(Products products, Cudnn cudnn, bool own_3x3)
    : products_(products), cudnn_(std::move(cudnn)), own_3x3_(own_3x3) {}
Target::~Target() = default;

bool Target::knows(std::string_view kind) {
  return book().knows(kind);
}

void Target::check(DType activations) const {
  if (activations != DType::f32 && activations != DType::bf16)
    throw ConfigError("a GPU stores activations as f32 or bf16");
}

const compiler::RuleBook<Machine>& Target::rules() const {
  return book();
}

Machine Target::machine() const {
  return {products_, cudnn_, own_3x3_};
}

}  // namespace resnet::gpu

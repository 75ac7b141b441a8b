#include "cpu/target.h"

#include "cpu/rules.h"
#include "kernels/simd/storage.h"

namespace resnet::cpu {
namespace {

const compiler::RuleBook<Machine>& book() {
  static const compiler::RuleBook<Machine> kBook(
      "the CPU", {conv_rules(), norm_rules(), pool_rules(), elementwise_rules(), product_rules(),
                  loss_rules(), optimizer_rules()});
  return kBook;
}

}  // namespace

Target::Target(Isa isa) : isa_(isa), choices_(std::make_unique<ConvChoices>()) {}
Target::~Target() = default;

bool Target::knows(std::string_view kind) {
  return book().knows(kind);
}

std::string_view Target::name() const {
  return name_of(isa_);
}

void Target::check(DType activations) const {
  kernels::check_storage(activations, isa_);
}

const compiler::RuleBook<Machine>& Target::rules() const {
  return book();
}

Machine Target::machine() const {
  return {isa_, *choices_};
}

}  // namespace resnet::cpu

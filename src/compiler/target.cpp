#include "compiler/target.h"

namespace resnet::compiler {

Bf16Operands Target::bf16_operands(const ops::Operation&) const {
  return {};
}

std::vector<std::size_t> Target::in_place(const ops::Operation&, std::size_t) const {
  return {};
}

bool Target::optional_output(const ops::Operation&, std::size_t) const {
  return false;
}

}  // namespace resnet::compiler

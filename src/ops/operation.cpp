#include "ops/operation.h"

#include "ops/rules.h"

namespace resnet::ops {

void Operation::gradient(GradientScope&) const {
  throw FormatError("operation '" + std::string(name()) + "' has no gradient");
}

Cost Operation::cost(const Signature&) const {
  return {};
}

std::vector<std::size_t> Operation::bf16_operands(const graph::Node&) const {
  return {};
}

bool Operation::may_stay_f32(std::size_t) const {
  return false;
}

std::vector<std::size_t> Operation::in_place(const Attributes&, std::size_t) const {
  return {};
}

bool Operation::optional_output(const Attributes&, std::size_t) const {
  return false;
}

bool Operation::sums_to_zero(const Attributes&, std::size_t) const {
  return false;
}

bool Operation::carries(const Attributes&, FusionRole) const {
  return false;
}

std::optional<std::size_t> Operation::sign_input(const Attributes&) const {
  return std::nullopt;
}
bool Operation::gives_signs(const Attributes&) const {
  return false;
}
bool Operation::carries_pool(const Attributes&, const Attributes&, const Shape&) const {
  return false;
}
const Operation* Operation::pooled(const Signature&, const Attributes&) const {
  return nullptr;
}
bool Operation::carries_part(const Signature&, NormPart) const {
  return false;
}

Pair pair_of(const Attributes& attributes, const std::string& name, std::int64_t least) {
  constexpr std::int64_t kMost = 1 << 20;  // keeps every product of two within 64 bits
  const std::vector<std::int64_t>& list = attributes.integers(name);
  expect(list.size() == 2 && list[0] >= least && list[1] >= least && list[0] <= kMost && list[1] <= kMost,
         "expected '" + name + "' to be two numbers of at least " + std::to_string(least));
  return {list[0], list[1]};
}

}  // namespace resnet::ops

#include "ops/operation.h"

#include "ops/rules.h"

namespace resnet::ops {

void Operation::gradient(GradientScope&) const {
  throw FormatError("operation '" + std::string(name()) + "' has no gradient");
}

Cost Operation::cost(const Signature&) const {
  return {};
}

bool Operation::sums_to_zero(std::size_t) const {
  return false;
}

std::optional<Fusion> Operation::with_epilogue(const Operation&, std::size_t) const {
  return std::nullopt;
}

std::optional<Fusion> Operation::with_prologue(const Operation&, bool) const {
  return std::nullopt;
}

Attributes Operation::attributes() const {
  return {};
}

void expect_f32(std::span<const ValueType* const> inputs, std::initializer_list<std::size_t> slots) {
  for (const std::size_t i : slots) {
    expect(inputs[i] != nullptr, "operand " + std::to_string(i) + " is absent");
    expect(inputs[i]->dtype == DType::f32, "expected operand " + std::to_string(i) + " in f32");
  }
}

void expect_pair(Pair pair, const std::string& name, std::int64_t least) {
  constexpr std::int64_t kMost = 1 << 20;  // keeps every product of two within 64 bits
  expect(pair.h >= least && pair.w >= least && pair.h <= kMost && pair.w <= kMost,
         "expected '" + name + "' to be two numbers from " + std::to_string(least) + " to " +
             std::to_string(kMost));
}

Pair read_pair(graph::AttributeReader& reader, const std::string& name) {
  const std::vector<std::int64_t>& list = reader.integers(name);
  if (list.size() != 2) throw FormatError("attribute '" + name + "' is not two numbers");
  return {list[0], list[1]};
}

std::vector<std::int64_t> to_list(Pair pair) {
  return {pair.h, pair.w};
}

}  // namespace resnet::ops

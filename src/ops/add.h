// Elementwise sum.
#pragma once

#include "ops/operation.h"

namespace resnet::ops {

struct AddInput {
  enum : std::size_t { a, b };
  static constexpr std::size_t other(std::size_t slot) { return slot == a ? b : a; }
};

/// y = a + b, of one shape.
class Add final : public ReadableOperation<Add> {
 public:
  static constexpr std::string_view kName = "add";
  static constexpr std::array<std::string_view, 2> kInputs = {"a", "b"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  Cost cost(const Signature& s) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

}  // namespace resnet::ops

// Elementwise product, and the product of a map with a gate.
#pragma once

#include "ops/operation.h"

namespace resnet::ops {

struct MulInput {
  enum : std::size_t { a, b };
};

/// y = a * b; b has a's shape, or is a gate: [N,C,1,1] where a is [N,C,H,W].
class Mul final : public ReadableOperation<Mul> {
 public:
  static constexpr std::string_view kName = "mul";
  static constexpr std::array<std::string_view, 2> kInputs = {"a", "b"};
  /// Whether b is a gate of a, and not of its shape.
  static bool gates(const Shape& a, const Shape& b);

  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  Cost cost(const Signature& s) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

struct MulGateGradientInput {
  enum : std::size_t { dy, a };
};

/// The gate's gradient [N,C,1,1]: dy * a, summed over each map.
class MulGateGradient final : public CompiledOperation<MulGateGradient> {
 public:
  static constexpr std::string_view kName = "mul_gate_gradient";
  static constexpr std::array<std::string_view, 2> kInputs = {"dy", "a"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

}  // namespace resnet::ops

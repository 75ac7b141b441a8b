// relu and its gradient.
#pragma once

#include "ops/operation.h"

namespace resnet::ops {

struct ReluInput {
  enum : std::size_t { x };
};

/// y = max(x, 0).
class Relu final : public ReadableOperation<Relu> {
 public:
  static constexpr std::string_view kName = "relu";
  static constexpr std::array<std::string_view, 1> kInputs = {"x"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  Cost cost(const Signature& s) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

struct ReluGradientInput {
  enum : std::size_t { dy, y };
};

/// dx = dy where y > 0, else 0.
class ReluGradient final : public CompiledOperation<ReluGradient> {
 public:
  static constexpr std::string_view kName = "relu_gradient";
  static constexpr std::array<std::string_view, 2> kInputs = {"dy", "y"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

}  // namespace resnet::ops

// relu and its gradient.
#pragma once

#include <array>

#include "ops/operation.h"

namespace resnet::ops {

struct ReluInput {
  enum : std::size_t { x };
};

/// y = max(x, 0).
class Relu final : public Operation {
 public:
  static constexpr std::string_view kName = "relu";
  static Op read(const Attributes& attributes);
  std::string_view name() const noexcept override { return kName; }
  std::span<const std::string_view> input_names() const noexcept override;
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
class ReluGradient final : public Operation {
 public:
  static constexpr std::string_view kName = "relu_gradient";
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return kName; }
  std::span<const std::string_view> input_names() const noexcept override;
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

}  // namespace resnet::ops

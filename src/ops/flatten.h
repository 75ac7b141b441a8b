// [N,C,H,W] -> [N,C*H*W] in the public order, and the way back.
#pragma once

#include <array>

#include "ops/operation.h"

namespace resnet::ops {

class Flatten final : public Operation {
 public:
  static constexpr std::string_view kName = "flatten";
  static Op read(const Attributes& attributes);
  std::string_view name() const noexcept override { return kName; }
  std::span<const std::string_view> input_names() const noexcept override;
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

struct UnflattenOptions {
  Shape map;  // [C,H,W]
};

class Unflatten final : public Operation {
 public:
  static constexpr std::string_view kName = "unflatten";
  explicit Unflatten(UnflattenOptions options) : options_(std::move(options)) {}
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return kName; }
  std::span<const std::string_view> input_names() const noexcept override;
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  UnflattenOptions options_;
};

}  // namespace resnet::ops

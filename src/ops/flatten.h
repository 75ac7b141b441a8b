// [N,C,H,W] -> [N,C*H*W] in the public order, and the way back.
#pragma once

#include "ops/operation.h"

namespace resnet::ops {

class Flatten final : public ReadableOperation<Flatten> {
 public:
  static constexpr std::string_view kName = "flatten";
  static constexpr std::array<std::string_view, 1> kInputs = {"x"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

struct UnflattenOptions {
  Shape map;  // [C,H,W]
};

class Unflatten final : public CompiledOperation<Unflatten> {
 public:
  static constexpr std::string_view kName = "unflatten";
  static constexpr std::array<std::string_view, 1> kInputs = {"x"};
  explicit Unflatten(UnflattenOptions options) : options_(std::move(options)) {}
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  UnflattenOptions options_;
};

}  // namespace resnet::ops

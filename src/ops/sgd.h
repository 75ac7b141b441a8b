// The optimiser's update: param - lr * grad.
#pragma once

#include <array>

#include "ops/operation.h"

namespace resnet::ops {

struct SgdInput {
  enum : std::size_t { parameter, gradient, lr };
};

class Sgd final : public Operation {
 public:
  static constexpr std::string_view kName = "sgd";
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return kName; }
  std::span<const std::string_view> input_names() const noexcept override;
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

}  // namespace resnet::ops

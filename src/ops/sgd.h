// The optimiser's update: param - lr * grad.
#pragma once

#include "ops/operation.h"

namespace resnet::ops {

struct SgdInput {
  enum : std::size_t { parameter, gradient, lr };
};

class Sgd final : public CompiledOperation<Sgd> {
 public:
  static constexpr std::string_view kName = "sgd";
  static constexpr std::array<std::string_view, 3> kInputs = {"parameter", "gradient", "lr"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

}  // namespace resnet::ops

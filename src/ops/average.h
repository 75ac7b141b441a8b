// An average that moves towards a value: of the network's state over the steps (OptimizerOptions::average), of
// gradients over the batches of a step (Engine::gradients()).
#pragma once

#include "ops/rules.h"

namespace resnet::ops {

struct AverageInput {
  enum : std::size_t {
    average,  // whose memory the output, the new average, takes over
    value,
    share  // f32 [1]
  };
};

class Average final : public CompiledOperation<Average> {
 public:
  static constexpr std::string_view kName = "average";
  static constexpr std::array<std::string_view, 3> kInputs = {"average", "value", "share"};

  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

}  // namespace resnet::ops

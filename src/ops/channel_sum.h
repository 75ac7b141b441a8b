// Sum over all axes but the channels: the gradient of a bias.
#pragma once

#include "ops/operation.h"

namespace resnet::ops {

/// x [N,C] or [N,C,H,W] -> sum [C].
class ChannelSum final : public CompiledOperation<ChannelSum> {
 public:
  static constexpr std::string_view kName = "channel_sum";
  static constexpr std::array<std::string_view, 1> kInputs = {"x"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

}  // namespace resnet::ops

// Sum over all axes but the channels: the gradient of a bias.
#pragma once

#include <array>

#include "ops/operation.h"

namespace resnet::ops {

/// x [N,C] or [N,C,H,W] -> sum [C].
class ChannelSum final : public Operation {
 public:
  static constexpr std::string_view kName = "channel_sum";
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return kName; }
  std::span<const std::string_view> input_names() const noexcept override;
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

}  // namespace resnet::ops

// Adam with decoupled weight decay, of one parameter; resnet/optimizer.h has the formulas.
#pragma once

#include "ops/update.h"

namespace resnet::ops {

struct AdamWInput : UpdateInput {
  enum : std::size_t { exp_avg = slots, exp_avg_sq };
};

class AdamW final : public CompiledOperation<AdamW> {
 public:
  static constexpr std::string_view kName = "adamw";
  static constexpr std::array<std::string_view, 5> kInputs = {"parameter", "gradient", "step", "exp_avg",
                                                              "exp_avg_sq"};
  explicit AdamW(const kernels::AdamWUpdate& update) : update_(update) {}
  const kernels::AdamWUpdate& update() const noexcept { return update_; }

  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  kernels::AdamWUpdate update_;
};

}  // namespace resnet::ops

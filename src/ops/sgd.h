// Stochastic gradient descent of one parameter; resnet/optimizer.h has the formulas.
#pragma once

#include "ops/update.h"

namespace resnet::ops {

struct SgdInput : UpdateInput {
  enum : std::size_t { momentum_buffer = slots };  // with momentum alone
};

class Sgd final : public CompiledOperation<Sgd> {
 public:
  static constexpr std::string_view kName = "sgd";
  static constexpr std::array<std::string_view, 4> kInputs = {"parameter", "gradient", "step",
                                                              "momentum_buffer"};
  explicit Sgd(const kernels::SgdUpdate& update) : update_(update) {}
  const kernels::SgdUpdate& update() const noexcept { return update_; }

  std::size_t listed_inputs() const noexcept override { return SgdInput::momentum_buffer; }
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  kernels::SgdUpdate update_;
};

}  // namespace resnet::ops

// Softmax cross-entropy: the loss. Its gradient is that of the mean over the batch.
#pragma once

#include "ops/operation.h"

namespace resnet::ops {

struct CrossEntropyInput {
  enum : std::size_t { logits, labels };  // [N,classes] f32, [N] i32
};
struct CrossEntropyOutput {
  enum : std::size_t { loss_sum, correct };  // nats, f64 [1]; right answers, i64 [1]
};

class CrossEntropy final : public CompiledOperation<CrossEntropy> {
 public:
  static constexpr std::string_view kName = "cross_entropy";
  static constexpr std::array<std::string_view, 2> kInputs = {"logits", "labels"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

/// Gradient of the mean loss by the logits; inputs as CrossEntropy's.
class CrossEntropyGradient final : public CompiledOperation<CrossEntropyGradient> {
 public:
  static constexpr std::string_view kName = "cross_entropy_gradient";
  static constexpr std::array<std::string_view, 2> kInputs = {"logits", "labels"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

}  // namespace resnet::ops

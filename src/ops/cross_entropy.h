// Softmax cross-entropy: the loss. Its gradient is that of the loss of the batch (resnet/loss.h).
#pragma once

#include "kernels/loss/loss.h"
#include "ops/operation.h"

namespace resnet::ops {

struct CrossEntropyInput {
  enum : std::size_t {
    logits,        // [N,classes] f32
    labels,        // [N] i32
    mixed_labels,  // [N] i32, the second labels of mixed examples
    mix            // [N] f32, the weights of the first; there if they are
  };
};
struct CrossEntropyOutput {
  enum : std::size_t { loss_sum, correct };  // nats, N times the loss, f64 [1]; right answers, i64 [1]
};

class CrossEntropy final : public CompiledOperation<CrossEntropy> {
 public:
  static constexpr std::string_view kName = "cross_entropy";
  static constexpr std::array<std::string_view, 4> kInputs = {"logits", "labels", "mixed_labels", "mix"};
  explicit CrossEntropy(kernels::CrossEntropyOptions options = {}) : options_(std::move(options)) {}
  const kernels::CrossEntropyOptions& options() const noexcept { return options_; }

  std::size_t listed_inputs() const noexcept override { return CrossEntropyInput::mixed_labels; }
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  kernels::CrossEntropyOptions options_;
};

/// Gradient of the loss by the logits; options and inputs as CrossEntropy's.
class CrossEntropyGradient final : public CompiledOperation<CrossEntropyGradient> {
 public:
  static constexpr std::string_view kName = "cross_entropy_gradient";
  static constexpr std::array<std::string_view, 4> kInputs = CrossEntropy::kInputs;
  explicit CrossEntropyGradient(kernels::CrossEntropyOptions options = {}) : options_(std::move(options)) {}
  const kernels::CrossEntropyOptions& options() const noexcept { return options_; }

  std::size_t listed_inputs() const noexcept override { return CrossEntropyInput::mixed_labels; }
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  kernels::CrossEntropyOptions options_;
};

}  // namespace resnet::ops

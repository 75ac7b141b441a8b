// batch_norm and its gradient. The compiler fuses `add`, `relu` and then `max_pool` at the norm's end, their
// gradients at the start of its gradient, and lets neighbours do parts of both (compiler/norms.cpp).
#pragma once

#include <limits>

#include "kernels/norm/norm.h"
#include "ops/pool_window.h"

namespace resnet::ops {

/// A number that kernels can add to a variance: positive, and finite in f32.
inline bool is_eps(double eps) {
  return eps >= std::numeric_limits<float>::min() && eps <= std::numeric_limits<float>::max();
}

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  // weight of the newest batch in the running statistics
  bool training = false;  // batch statistics, which also update the running ones
  // Fused by the compiler:
  bool residual = false;                // is added to the result,
  bool relu = false;                    // then a ReLU,
  bool relu_mask = false;               // whose mask is a further output,
  std::optional<PoolWindow> pool = {};  // or behind which a pool chooses
  bool stats_from_producer = false;     // moments of x are an input
  bool coefficients_only = false;       // y is the table of coefficients [3,C] that readers of x apply
  Shape x = {};                         // shape of x where coefficients_only
  std::int64_t samples = 0;             // rows of the moments, where x holds a pool's winners; else 0
};
struct BatchNormInput {
  enum : std::size_t { x, gamma, beta, running_mean, running_var, residual, moments };
};
struct BatchNormOutput {
  enum : std::size_t { y, mean, inv_std, running_mean, running_var, relu_mask, pool_index };
};

/// x [N,C,H,W], the rest [C] -> y, and where training mean, 1/std, and new running statistics.
class BatchNorm final : public ReadableOperation<BatchNorm> {
 public:
  static constexpr std::string_view kName = "batch_norm";
  static constexpr std::array<std::string_view, 7> kInputs = {
      "x", "gamma", "beta", "running_mean", "running_var", "residual", "moments"};
  explicit BatchNorm(BatchNormOptions options) : options_(std::move(options)) {}
  static Op read(const Attributes& attributes);
  const BatchNormOptions& options() const noexcept { return options_; }
  /// Of x, which may be absent with coefficients_only and stats_from_producer.
  kernels::NormGeometry geometry(std::span<const ValueType* const> inputs) const;

  Attributes attributes() const override;
  std::size_t listed_inputs() const noexcept override { return BatchNormInput::residual; }
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  Cost cost(const Signature& s) const override;
  Use use_of(std::size_t input) const noexcept override {
    return input == BatchNormInput::x ? Use::activation : Use::channels;
  }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
  std::optional<Fusion> with_epilogue(const Operation& next, std::size_t slot) const override;

 private:
  void expect_unfused() const;

  BatchNormOptions options_;
};

struct BatchNormGradientOptions {
  double eps = 1e-5;
  double momentum = 0.1;
  // Fused by the compiler:
  Gate gate = Gate::none;               // how dz is gated by the ReLU behind the norm
  std::optional<PoolWindow> pool = {};  // dz is the gradient of what this pool chose
  bool residual = false;                // the gated dz is a further output
  bool sums_from_producer = false;      // sums of the gated dz are an input
  bool coefficients_only = false;  // dx is the table of gradient coefficients [4,C] that readers of dz apply
  Shape x = {};                    // shape of x where coefficients_only
  std::int64_t samples = 0;        // as BatchNormOptions has it
};
struct BatchNormGradientInput {
  enum : std::size_t { dz, x, gamma, mean, inv_std, pool_index, gate, sums, moments };
};
struct BatchNormGradientOutput {
  enum : std::size_t { dx, dgamma, dbeta, dresidual };
};

class BatchNormGradient final : public CompiledOperation<BatchNormGradient> {
 public:
  static constexpr std::string_view kName = "batch_norm_gradient";
  static constexpr std::array<std::string_view, 9> kInputs = {"dz",    "x",    "gamma", "mean",   "1/std",
                                                              "index", "gate", "sums",  "moments"};
  explicit BatchNormGradient(BatchNormGradientOptions options) : options_(std::move(options)) {}
  const BatchNormGradientOptions& options() const noexcept { return options_; }
  kernels::NormGeometry geometry(std::span<const ValueType* const> inputs) const;

  std::size_t listed_inputs() const noexcept override { return BatchNormGradientInput::pool_index; }
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
  bool sums_to_zero(std::size_t output) const override { return output == BatchNormGradientOutput::dx; }
  std::optional<Fusion> with_prologue(const Operation& previous, bool shared) const override;

 private:
  BatchNormGradientOptions options_;
};

}  // namespace resnet::ops

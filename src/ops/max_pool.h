// max_pool and its gradient.
#pragma once

#include "ops/pool_window.h"

namespace resnet::ops {

struct MaxPoolInput {
  enum : std::size_t { x };
};
struct MaxPoolOutput {
  enum : std::size_t { y, index };  // index: of the maximum in its window
};

class MaxPool final : public ReadableOperation<MaxPool> {
 public:
  static constexpr std::string_view kName = "max_pool";
  static constexpr std::array<std::string_view, 1> kInputs = {"x"};
  explicit MaxPool(PoolWindow window) : window_(window) {}
  static Op read(const Attributes& attributes);
  const PoolWindow& window() const noexcept { return window_; }

  Attributes attributes() const override { return window_attributes(window_); }
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  Cost cost(const Signature& s) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  PoolWindow window_;
};

struct MaxPoolGradientOptions {
  PoolWindow window = {};
  Shape x;  // of the map that was pooled
};
struct MaxPoolGradientInput {
  enum : std::size_t { dy, index };
};

class MaxPoolGradient final : public CompiledOperation<MaxPoolGradient> {
 public:
  static constexpr std::string_view kName = "max_pool_gradient";
  static constexpr std::array<std::string_view, 2> kInputs = {"dy", "index"};
  explicit MaxPoolGradient(MaxPoolGradientOptions options) : options_(std::move(options)) {}
  const MaxPoolGradientOptions& options() const noexcept { return options_; }

  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  MaxPoolGradientOptions options_;
};

}  // namespace resnet::ops

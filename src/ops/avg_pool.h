// avg_pool and global_avg_pool with their gradients: the latter is the former with the whole map as its
// window.
#pragma once

#include "ops/pool_window.h"

namespace resnet::ops {

template <bool kGlobal>
class AveragePool final : public ReadableOperation<AveragePool<kGlobal>> {
 public:
  static constexpr std::string_view kName = kGlobal ? "global_avg_pool" : "avg_pool";
  static constexpr std::array<std::string_view, 1> kInputs = {"x"};
  explicit AveragePool(PoolWindow window = {}) : window_(window) {}
  static Op read(const Attributes& attributes);
  const PoolWindow& window() const noexcept { return window_; }
  /// Of x [N,C,H,W]. Throws ShapeError.
  kernels::PoolGeometry geometry(const Shape& x) const;

  Attributes attributes() const override;
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  Cost cost(const Signature& s) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  PoolWindow window_;  // without meaning where the window is the whole map
};

using AvgPool = AveragePool<false>;
using GlobalAvgPool = AveragePool<true>;

struct AveragePoolGradientOptions {
  PoolWindow window = {};
  Shape x;  // of the map that was pooled
};

/// dy -> dx.
template <bool kGlobal>
class AveragePoolGradient final : public CompiledOperation<AveragePoolGradient<kGlobal>> {
 public:
  static constexpr std::string_view kName = kGlobal ? "global_avg_pool_gradient" : "avg_pool_gradient";
  static constexpr std::array<std::string_view, 1> kInputs = {"dy"};
  explicit AveragePoolGradient(AveragePoolGradientOptions options) : options_(std::move(options)) {}
  kernels::PoolGeometry geometry() const;

  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  AveragePoolGradientOptions options_;
};

using AvgPoolGradient = AveragePoolGradient<false>;
using GlobalAvgPoolGradient = AveragePoolGradient<true>;

}  // namespace resnet::ops

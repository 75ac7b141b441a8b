// A convolution whose result only a batch norm and a max pool behind it read, and the gradient of its
// weights: what the pool chooses of it is all that is stored. The compiler makes them of conv2d; they have no
// gradient rule and no readable evaluation of their own.
#pragma once

#include "ops/conv2d.h"
#include "ops/pool_window.h"

namespace resnet::ops {

struct Conv2dPooledOptions {
  ConvWindow window = {};
  PoolWindow pool = {};
};
struct PooledGeometry {
  kernels::ConvGeometry conv;
  kernels::PoolGeometry pool;
};

struct Conv2dPooledInput {
  enum : std::size_t { x, w, bias, gamma };
};
struct Conv2dPooledOutput {
  enum : std::size_t { y, index, moments };  // y: what the pool chooses; moments: of all that it chooses from
};

class Conv2dPooled final : public CompiledOperation<Conv2dPooled> {
 public:
  static constexpr std::string_view kName = "conv2d_pooled";
  static constexpr std::array<std::string_view, 4> kInputs = {"x", "w", "b", "gamma"};
  explicit Conv2dPooled(Conv2dPooledOptions options) : options_(options) {}
  PooledGeometry geometry(std::span<const ValueType* const> inputs) const;

  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  Cost cost(const Signature& s) const override { return {geometry(s.inputs).conv.flops()}; }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  Conv2dPooledOptions options_;
};

struct Conv2dPooledWeightGradientInput {
  enum : std::size_t {
    x,
    w,
    bias,
    dz,
    index,
    gate,
    gradient_coefficients
  };  // gate (optional): z, which gates dz
};

/// Result dw, of the shape of w.
class Conv2dPooledWeightGradient final : public CompiledOperation<Conv2dPooledWeightGradient> {
 public:
  static constexpr std::string_view kName = "conv2d_pooled_weight_gradient";
  static constexpr std::array<std::string_view, 7> kInputs = {
      "x", "w", "b", "dz", "index", "z", "gradient coefficients"};
  explicit Conv2dPooledWeightGradient(Conv2dPooledOptions options) : options_(options) {}
  PooledGeometry geometry(std::span<const ValueType* const> inputs) const;

  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  Cost cost(const Signature& s) const override { return {geometry(s.inputs).conv.flops()}; }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  Conv2dPooledOptions options_;
};

}  // namespace resnet::ops

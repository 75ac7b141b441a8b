// Smooth activations: sigmoid, silu and gelu, with their gradients.
#pragma once

#include "kernels/elementwise/elementwise.h"
#include "ops/operation.h"

namespace resnet::ops {

using kernels::Activation;

struct ActivationInput {
  enum : std::size_t { x };
};

/// y = f(x), element by element.
template <Activation kKind>
class ActivationOf final : public ReadableOperation<ActivationOf<kKind>> {
 public:
  static constexpr std::string_view kName = kKind == Activation::sigmoid ? "sigmoid"
                                            : kKind == Activation::silu  ? "silu"
                                                                         : "gelu";
  static constexpr std::array<std::string_view, 1> kInputs = {"x"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  Cost cost(const Signature& s) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

using Sigmoid = ActivationOf<Activation::sigmoid>;
using Silu = ActivationOf<Activation::silu>;
using Gelu = ActivationOf<Activation::gelu>;

struct ActivationGradientInput {
  enum : std::size_t { dy, x };
};

/// dx = dy f'(x).
template <Activation kKind>
class ActivationGradientOf final : public CompiledOperation<ActivationGradientOf<kKind>> {
 public:
  static constexpr std::string_view kName = kKind == Activation::sigmoid ? "sigmoid_gradient"
                                            : kKind == Activation::silu  ? "silu_gradient"
                                                                         : "gelu_gradient";
  static constexpr std::array<std::string_view, 2> kInputs = {"dy", "x"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

using SigmoidGradient = ActivationGradientOf<Activation::sigmoid>;
using SiluGradient = ActivationGradientOf<Activation::silu>;
using GeluGradient = ActivationGradientOf<Activation::gelu>;

}  // namespace resnet::ops

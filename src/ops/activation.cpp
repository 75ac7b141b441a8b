#include "ops/activation.h"

#include "ops/rules.h"

namespace resnet::ops {

template <Activation kKind>
std::vector<std::optional<ValueType>> ActivationOf<kKind>::infer(
    std::span<const ValueType* const> inputs) const {
  return infer_elementwise(inputs);
}

template <Activation kKind>
void ActivationOf<kKind>::gradient(GradientScope& scope) const {
  if (!scope.wants(ActivationInput::x)) return;
  scope.set(ActivationInput::x, scope.emit(make<ActivationGradientOf<kKind>>(),
                                           {scope.output_gradient(0), scope.input(ActivationInput::x)})[0]);
}

template <Activation kKind>
Cost ActivationOf<kKind>::cost(const Signature& s) const {
  return {elements_of(s)};
}

template <Activation kKind>
void ActivationOf<kKind>::evaluate(const Signature&, std::span<const View<const double>> in,
                                   std::span<const View<double>> out) const {
  kernels::reference_activation(kKind, in[ActivationInput::x], out[0]);
}

template <Activation kKind>
std::vector<std::optional<ValueType>> ActivationGradientOf<kKind>::infer(
    std::span<const ValueType* const> inputs) const {
  return infer_elementwise(inputs);
}

template <Activation kKind>
void ActivationGradientOf<kKind>::evaluate(const Signature&, std::span<const View<const double>> in,
                                           std::span<const View<double>> out) const {
  kernels::reference_activation_gradient(kKind, in[ActivationGradientInput::dy],
                                         in[ActivationGradientInput::x], out[0]);
}

template class ActivationOf<Activation::sigmoid>;
template class ActivationOf<Activation::silu>;
template class ActivationOf<Activation::gelu>;
template class ActivationGradientOf<Activation::sigmoid>;
template class ActivationGradientOf<Activation::silu>;
template class ActivationGradientOf<Activation::gelu>;

}  // namespace resnet::ops

#include "ops/relu.h"

#include "kernels/elementwise/elementwise.h"
#include "ops/rules.h"

namespace resnet::ops {

std::vector<std::optional<ValueType>> Relu::infer(std::span<const ValueType* const> inputs) const {
  return infer_elementwise(inputs);
}

void Relu::gradient(GradientScope& scope) const {
  if (!scope.wants(ReluInput::x)) return;
  scope.set(ReluInput::x, scope.emit(make<ReluGradient>(), {scope.output_gradient(0), scope.output(0)})[0]);
}

Cost Relu::cost(const Signature& s) const {
  return {elements_of(s)};
}

void Relu::evaluate(const Signature&, std::span<const View<const double>> in,
                    std::span<const View<double>> out) const {
  kernels::reference_relu(in[ReluInput::x], out[0]);
}

std::vector<std::optional<ValueType>> ReluGradient::infer(std::span<const ValueType* const> inputs) const {
  return infer_elementwise(inputs);
}

void ReluGradient::evaluate(const Signature&, std::span<const View<const double>> in,
                            std::span<const View<double>> out) const {
  kernels::reference_relu_gradient(in[ReluGradientInput::dy], in[ReluGradientInput::y], out[0]);
}

}  // namespace resnet::ops

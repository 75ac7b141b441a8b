#include "ops/mul.h"

#include "kernels/elementwise/elementwise.h"
#include "ops/rules.h"

namespace resnet::ops {

bool Mul::gates(const Shape& a, const Shape& b) {
  return !(a == b) && a.rank() == 4 && b == Shape{a[0], a[1], 1, 1};
}

std::vector<std::optional<ValueType>> Mul::infer(std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {MulInput::a, MulInput::b});
  const Shape &a = inputs[MulInput::a]->shape, &b = inputs[MulInput::b]->shape;
  expect(a == b || gates(a, b), "expected b of a's shape, or [N,C,1,1] for a of [N,C,H,W]");
  return {*inputs[MulInput::a]};
}

void Mul::gradient(GradientScope& scope) const {
  const ValueId dy = scope.output_gradient(0), a = scope.input(MulInput::a), b = scope.input(MulInput::b);
  if (scope.wants(MulInput::a)) scope.set(MulInput::a, scope.emit(make<Mul>(), {dy, b})[0]);
  if (!scope.wants(MulInput::b)) return;
  const bool gate = gates(scope.type(a).shape, scope.type(b).shape);
  scope.set(MulInput::b, scope.emit(gate ? Op(make<MulGateGradient>()) : Op(make<Mul>()), {dy, a})[0]);
}

Cost Mul::cost(const Signature& s) const {
  return {elements_of(s)};
}

void Mul::evaluate(const Signature&, std::span<const View<const double>> in,
                   std::span<const View<double>> out) const {
  kernels::reference_mul(in[MulInput::a], in[MulInput::b], out[0]);
}

std::vector<std::optional<ValueType>> MulGateGradient::infer(std::span<const ValueType* const> inputs) const {
  infer_elementwise(inputs);
  const Shape& a = expect_rank(inputs, MulGateGradientInput::a, 4);
  return {ValueType{Shape{a[0], a[1], 1, 1}, DType::f32}};
}

void MulGateGradient::evaluate(const Signature&, std::span<const View<const double>> in,
                               std::span<const View<double>> out) const {
  kernels::reference_mul_gate_gradient(in[MulGateGradientInput::dy], in[MulGateGradientInput::a], out[0]);
}

}  // namespace resnet::ops

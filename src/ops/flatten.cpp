#include "ops/flatten.h"

#include <algorithm>

#include "ops/rules.h"

namespace resnet::ops {
namespace {

void copy(View<const double> x, View<double> y) {
  std::copy_n(x.data, x.shape.elements(), y.data);
}

}  // namespace

std::vector<std::optional<ValueType>> Flatten::infer(std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {0});
  const Shape& x = expect_rank(inputs, 0, 4);
  return {ValueType{Shape{x[0], x[1] * x[2] * x[3]}, DType::f32}};
}

void Flatten::gradient(GradientScope& scope) const {
  if (!scope.wants(0)) return;
  const Shape& x = scope.type(scope.input(0)).shape;
  const UnflattenOptions options{{x[1], x[2], x[3]}};
  scope.set(0, scope.emit(make<Unflatten>(options), {scope.output_gradient(0)})[0]);
}

void Flatten::evaluate(const Signature&, std::span<const View<const double>> in,
                       std::span<const View<double>> out) const {
  copy(in[0], out[0]);
}

std::vector<std::optional<ValueType>> Unflatten::infer(std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {0});
  const Shape& x = expect_rank(inputs, 0, 2);
  const Shape& map = options_.map;
  expect(map.rank() == 3 && map.elements() == x[1],
         "expected a map of " + std::to_string(x[1]) + " elements");
  return {ValueType{Shape{x[0], map[0], map[1], map[2]}, DType::f32}};
}

void Unflatten::evaluate(const Signature&, std::span<const View<const double>> in,
                         std::span<const View<double>> out) const {
  copy(in[0], out[0]);
}

}  // namespace resnet::ops

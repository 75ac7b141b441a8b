#include "ops/concat.h"

#include "kernels/elementwise/elementwise.h"
#include "ops/rules.h"

namespace resnet::ops {
namespace {

Shape with_channels(const Shape& x, std::int64_t channels) {
  return x.rank() == 2 ? Shape{x[0], channels} : Shape{x[0], channels, x[2], x[3]};
}

}  // namespace

std::vector<std::optional<ValueType>> Concat::infer(std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {ConcatInput::a, ConcatInput::b});
  const Shape &a = inputs[ConcatInput::a]->shape, &b = inputs[ConcatInput::b]->shape;
  constexpr std::int64_t kMost = std::int64_t{1} << 32;  // the sum stays far from 64 bits
  expect((a.rank() == 4 || a.rank() == 2) && b.rank() == a.rank() && a[1] < kMost && b[1] < kMost &&
             with_channels(b, a[1]) == a,
         "expected operands [N,C,H,W] or [N,C] that differ in their channels alone");
  return {ValueType{with_channels(a, a[1] + b[1]), DType::f32}};
}

void Concat::gradient(GradientScope& scope) const {
  std::int64_t first = 0;
  for (const std::size_t i : {ConcatInput::a, ConcatInput::b}) {
    const std::int64_t count = scope.type(scope.input(i)).shape[1];
    const SliceOptions part{.first = first, .count = count};
    if (scope.wants(i)) scope.set(i, scope.emit(make<Slice>(part), {scope.output_gradient(0)})[0]);
    first += count;
  }
}

void Concat::evaluate(const Signature&, std::span<const View<const double>> in,
                      std::span<const View<double>> out) const {
  kernels::reference_concat(in[ConcatInput::a], in[ConcatInput::b], out[0]);
}

std::vector<std::optional<ValueType>> Slice::infer(std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {0});
  const Shape& x = inputs[0]->shape;
  const auto [first, count] = options_;
  expect((x.rank() == 4 || x.rank() == 2) && first >= 0 && count >= 0 && first <= x[1] - count,
         "expected at least " + std::to_string(first + count) + " channels");
  return {ValueType{with_channels(x, count), DType::f32}};
}

void Slice::evaluate(const Signature&, std::span<const View<const double>> in,
                     std::span<const View<double>> out) const {
  kernels::reference_slice(in[0], options_.first, out[0]);
}

}  // namespace resnet::ops

#include "ops/cross_entropy.h"

#include "kernels/loss/loss.h"
#include "ops/rules.h"

namespace resnet::ops {
namespace {

void expect_logits(std::span<const ValueType* const> inputs) {
  expect_f32(inputs, {CrossEntropyInput::logits});
  const Shape& logits = expect_rank(inputs, CrossEntropyInput::logits, 2);
  expect(logits.elements() > 0, "expected extents of at least 1");
  const ValueType* labels = inputs[CrossEntropyInput::labels];
  expect(labels != nullptr && *labels == ValueType{Shape{logits[0]}, DType::i32},
         "expected " + std::to_string(logits[0]) + " labels");
}

}  // namespace

std::vector<std::optional<ValueType>> CrossEntropy::infer(std::span<const ValueType* const> inputs) const {
  expect_logits(inputs);
  return {ValueType{Shape{1}, DType::f64}, ValueType{Shape{1}, DType::i64}};
}

void CrossEntropy::gradient(GradientScope& scope) const {
  using In = CrossEntropyInput;
  if (!scope.wants(In::logits)) return;
  scope.set(In::logits,
            scope.emit(make<CrossEntropyGradient>(), {scope.input(In::logits), scope.input(In::labels)})[0]);
}

void CrossEntropy::evaluate(const Signature&, std::span<const View<const double>> in,
                            std::span<const View<double>> out) const {
  kernels::reference_cross_entropy(in[CrossEntropyInput::logits], in[CrossEntropyInput::labels],
                                   out[CrossEntropyOutput::loss_sum], out[CrossEntropyOutput::correct]);
}

std::vector<std::optional<ValueType>> CrossEntropyGradient::infer(
    std::span<const ValueType* const> inputs) const {
  expect_logits(inputs);
  return {*inputs[CrossEntropyInput::logits]};
}

void CrossEntropyGradient::evaluate(const Signature&, std::span<const View<const double>> in,
                                    std::span<const View<double>> out) const {
  kernels::reference_cross_entropy_gradient(in[CrossEntropyInput::logits], in[CrossEntropyInput::labels],
                                            out[0]);
}

}  // namespace resnet::ops

#include "ops/cross_entropy.h"

#include "ops/rules.h"

namespace resnet::ops {
namespace {

using In = CrossEntropyInput;

void expect_operands(const kernels::CrossEntropyOptions& options, std::span<const ValueType* const> inputs) {
  expect_f32(inputs, {In::logits});
  const Shape& logits = expect_rank(inputs, In::logits, 2);
  expect(logits.elements() > 0, "expected extents of at least 1");
  const auto weights = static_cast<std::int64_t>(options.class_weights.size());
  expect(weights == 0 || weights == logits[1],
         "expected " + std::to_string(weights) + " classes, one a weight");
  const auto is_label = [&](std::size_t slot) {
    return inputs[slot] != nullptr && *inputs[slot] == ValueType{Shape{logits[0]}, DType::i32};
  };
  expect(is_label(In::labels), "expected " + std::to_string(logits[0]) + " labels");
  const bool mixed = inputs[In::mixed_labels] != nullptr;
  expect(!mixed || is_label(In::mixed_labels), "expected " + std::to_string(logits[0]) + " second labels");
  if (expect_if(mixed, inputs, In::mix)) {
    expect(inputs[In::mix]->shape == Shape{logits[0]}, "expected " + std::to_string(logits[0]) + " weights");
  }
}

kernels::LossTargets targets_of(std::span<const View<const double>> in) {
  return {in[In::labels], in[In::mixed_labels], in[In::mix]};
}

}  // namespace

std::vector<std::optional<ValueType>> CrossEntropy::infer(std::span<const ValueType* const> inputs) const {
  expect_operands(options_, inputs);
  return {ValueType{Shape{1}, DType::f64}, ValueType{Shape{1}, DType::i64}};
}

void CrossEntropy::gradient(GradientScope& scope) const {
  if (!scope.wants(In::logits)) return;
  scope.set(In::logits, scope.emit(make<CrossEntropyGradient>(options_), scope.node().inputs)[0]);
}

void CrossEntropy::evaluate(const Signature&, std::span<const View<const double>> in,
                            std::span<const View<double>> out) const {
  kernels::reference_cross_entropy(in[In::logits], targets_of(in), out[CrossEntropyOutput::loss_sum],
                                   out[CrossEntropyOutput::correct], options_);
}

std::vector<std::optional<ValueType>> CrossEntropyGradient::infer(
    std::span<const ValueType* const> inputs) const {
  expect_operands(options_, inputs);
  return {*inputs[In::logits]};
}

void CrossEntropyGradient::evaluate(const Signature&, std::span<const View<const double>> in,
                                    std::span<const View<double>> out) const {
  kernels::reference_cross_entropy_gradient(in[In::logits], targets_of(in), out[0], options_);
}

}  // namespace resnet::ops

// Softmax cross-entropy: the loss. Its gradient is that of the mean over the batch.
#include <array>

#include "kernels/loss/loss.h"
#include "ops/lists.h"
#include "ops/rules.h"

namespace resnet::ops {
namespace {

void expect_logits(std::span<const ValueType* const> inputs) {
  expect_operands(inputs, 2, 2, 1);
  const Shape& logits = expect_rank(inputs, 0, 2);
  expect(logits.elements() > 0, "expected extents of at least 1");
  expect(inputs[1]->shape == Shape{logits[0]} && inputs[1]->dtype == DType::i32,
         "expected " + std::to_string(logits[0]) + " labels");
}

// logits, labels -> sum of the losses, number of correct answers
class CrossEntropy final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return "cross_entropy"; }
  std::vector<ValueType> infer(const Attributes&, std::span<const ValueType* const> inputs) const override {
    expect_logits(inputs);
    return {{Shape{1}, DType::f64}, {Shape{1}, DType::i64}};
  }
  void gradient(GradientScope& scope) const override {
    if (scope.wants(0))
      scope.set(0, scope.emit("cross_entropy_gradient", {}, {scope.input(0), scope.input(1)})[0]);
  }
  void evaluate(const Signature&, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_cross_entropy(in[0], in[1], out[0], out[1]);
  }
  Lowering lower(const Signature& s, Isa isa) const override {
    const Shape& logits = s.inputs[0]->shape;
    return {kernels::make_cross_entropy(logits[0], logits[1], isa), "sums in double"};
  }
};

class CrossEntropyGradient final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return "cross_entropy_gradient"; }
  std::vector<ValueType> infer(const Attributes&, std::span<const ValueType* const> inputs) const override {
    expect_logits(inputs);
    return {*inputs[0]};
  }
  void evaluate(const Signature&, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_cross_entropy_gradient(in[0], in[1], out[0]);
  }
  Lowering lower(const Signature& s, Isa isa) const override {
    const Shape& logits = s.inputs[0]->shape;
    return {kernels::make_cross_entropy_gradient(logits[0], logits[1], isa), "sums in double"};
  }
};

}  // namespace

OperationList cross_entropy_operations() {
  static const CrossEntropy loss;
  static const CrossEntropyGradient gradient;
  static const std::array<const Operation*, 2> list = {&loss, &gradient};
  return list;
}

}  // namespace resnet::ops

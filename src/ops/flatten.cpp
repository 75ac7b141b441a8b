// [N,C,H,W] -> [N,C*H*W] in the public order, and the way back.
#include <algorithm>
#include <array>

#include "kernels/elementwise/elementwise.h"
#include "ops/lists.h"
#include "ops/rules.h"

namespace resnet::ops {
namespace {

void copy(View<const double> x, View<double> y) {
  std::copy_n(x.data, x.shape.elements(), y.data);
}

class Flatten final : public Operation {
 public:
  std::string_view name() const noexcept override { return "flatten"; }
  std::vector<ValueType> infer(const Attributes&, std::span<const ValueType* const> inputs) const override {
    expect_operands(inputs, 1, 1);
    const Shape& x = expect_rank(inputs, 0, 4);
    return {{Shape{x[0], x[1] * x[2] * x[3]}, DType::f32}};
  }
  void gradient(GradientScope& scope) const override {
    if (!scope.wants(0)) return;
    const Shape& x = scope.type(scope.input(0)).shape;
    scope.set(0, scope.emit("unflatten", {{"map", std::vector<std::int64_t>{x[1], x[2], x[3]}}},
                            {scope.output_gradient(0)})[0]);
  }
  void evaluate(const Signature&, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    copy(in[0], out[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    const Shape& x = s.inputs[0]->shape;
    return {kernels::make_flatten(x[0], x[1], pixels_of(x), isa, s.inputs[0]->dtype), "to the public order"};
  }
};

class Unflatten final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return "unflatten"; }
  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    expect_operands(inputs, 1, 1);
    const Shape& x = expect_rank(inputs, 0, 2);
    const Shape map(attributes.integers("map"));
    expect(map.rank() == 3 && map.elements() == x[1],
           "expected a map of " + std::to_string(x[1]) + " elements");
    return {{Shape{x[0], map[0], map[1], map[2]}, DType::f32}};
  }
  void evaluate(const Signature&, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    copy(in[0], out[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {1}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    const Shape& y = s.outputs[0].shape;
    return {kernels::make_unflatten(y[0], y[1], pixels_of(y), isa, s.outputs[0].dtype),
            "from the public order"};
  }
};

}  // namespace

OperationList flatten_operations() {
  static const Flatten flatten;
  static const Unflatten unflatten;
  static const std::array<const Operation*, 2> list = {&flatten, &unflatten};
  return list;
}

}  // namespace resnet::ops

// Dropout of training: what is kept depends on (seed, layer, step, element) alone.
#include <array>

#include "kernels/elementwise/elementwise.h"
#include "ops/lists.h"
#include "ops/rules.h"

namespace resnet::ops {
namespace {

// x, seed_step (seed and number of the step) -> y
class Dropout final : public Operation {
 public:
  std::string_view name() const noexcept override { return "dropout"; }
  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    expect_operands(inputs, 2, 2, 1);
    const double p = attributes.real("p");
    expect(p >= 0 && p < 1, "expected a probability within [0, 1)");
    static_cast<void>(attributes.integer("layer"));
    const Shape& x = inputs[0]->shape;
    expect(x.rank() == 2 || x.rank() == 4, "expected an operand of 2 or 4 axes, got " + to_string(x));
    expect(inputs[1]->shape == Shape{2} && inputs[1]->dtype == DType::i64, "expected seed and step");
    return {*inputs[0]};
  }
  void gradient(GradientScope& scope) const override {
    if (!scope.wants(0)) return;
    scope.set(0,
              scope.emit("dropout", scope.node().attributes, {scope.output_gradient(0), scope.input(1)})[0]);
  }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_dropout(
        s.attributes.real("p"), static_cast<std::uint64_t>(s.attributes.integer("layer")),
        static_cast<std::int64_t>(in[1][0]), static_cast<std::int64_t>(in[1][1]), in[0], out[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node&) const override { return {0, 2}; }
  Lowering lower(const Signature& s, Isa isa) const override {
    const ValueType& x_type = *s.inputs[0];
    const Shape& x = x_type.shape;
    return {kernels::make_dropout(s.attributes.real("p"),
                                  static_cast<std::uint64_t>(s.attributes.integer("layer")), x[0], x[1],
                                  pixels_of(x), isa, x_type.dtype),
            "counter-based mask, never stored"};
  }
  std::vector<std::size_t> in_place(const Attributes&, std::size_t) const override { return {0}; }
};

}  // namespace

OperationList dropout_operations() {
  static const Dropout dropout;
  static const std::array<const Operation*, 1> list = {&dropout};
  return list;
}

}  // namespace resnet::ops

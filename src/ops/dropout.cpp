#include "ops/dropout.h"

#include "kernels/elementwise/elementwise.h"
#include "ops/rules.h"

namespace resnet::ops {

Op Dropout::read(const Attributes& attributes) {
  graph::AttributeReader reader(attributes);
  const DropoutOptions options{.p = reader.real("p"),
                               .layer = static_cast<std::uint64_t>(reader.integer("layer")),
                               .per_example = reader.integer_or("per_example", 0) != 0};
  reader.finish();
  return make<Dropout>(options);
}

Attributes Dropout::attributes() const {
  Attributes attributes = {{"p", options_.p}, {"layer", static_cast<std::int64_t>(options_.layer)}};
  if (options_.per_example) attributes.set("per_example", std::int64_t{1});
  return attributes;
}

std::vector<std::optional<ValueType>> Dropout::infer(std::span<const ValueType* const> inputs) const {
  expect_f32(inputs, {DropoutInput::x});
  expect(options_.p >= 0 && options_.p < 1, "expected a probability within [0, 1)");
  const Shape& x = inputs[DropoutInput::x]->shape;
  expect(x.rank() == 2 || x.rank() == 4, "expected an operand of 2 or 4 axes, got " + to_string(x));
  const ValueType* seed_step = inputs[DropoutInput::seed_step];
  expect(seed_step != nullptr && *seed_step == ValueType{Shape{2}, DType::i64}, "expected seed and step");
  return {*inputs[DropoutInput::x]};
}

void Dropout::gradient(GradientScope& scope) const {
  if (!scope.wants(DropoutInput::x)) return;
  scope.set(DropoutInput::x,
            scope.emit(scope.node().op, {scope.output_gradient(0), scope.input(DropoutInput::seed_step)})[0]);
}

void Dropout::evaluate(const Signature&, std::span<const View<const double>> in,
                       std::span<const View<double>> out) const {
  const View<const double>& seed_step = in[DropoutInput::seed_step];
  const auto& reference = options_.per_example ? kernels::reference_drop_path : kernels::reference_dropout;
  reference(options_.p, options_.layer, std::bit_cast<std::int64_t>(seed_step[0]),
            std::bit_cast<std::int64_t>(seed_step[1]), in[DropoutInput::x], out[0]);
}

}  // namespace resnet::ops

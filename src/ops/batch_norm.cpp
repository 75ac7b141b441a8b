// batch_norm and its gradient. It carries `add` and `relu` at its end, its gradient carries the
// ReLU's gradient at its start.
#include <array>

#include "kernels/norm/norm.h"
#include "ops/lists.h"
#include "ops/rules.h"

namespace resnet::ops {
namespace {

using kernels::NormGeometry;

NormGeometry norm_geometry(const Attributes& attributes, const Shape& x) {
  const double eps = attributes.real("eps");
  const double momentum = attributes.real("momentum");
  expect(eps > 0 && momentum >= 0 && momentum <= 1, "expected eps > 0 and momentum within [0, 1]");
  return {.n = x[0],
          .c = x[1],
          .pixels = x[2] * x[3],
          .eps = eps,
          .momentum = momentum,
          .add = attributes.integer_or("add", 0) != 0,
          .relu = attributes.integer_or("relu", 0) != 0};
}

void expect_channels(std::span<const ValueType* const> inputs, std::size_t first, std::size_t last,
                     std::int64_t c) {
  for (std::size_t i = first; i <= last; ++i) {
    expect(inputs[i]->shape == Shape{c}, "expected " + std::to_string(c) + " channels, got operand " +
                                             std::to_string(i) + " of shape " + to_string(inputs[i]->shape));
  }
}

// x, weight, bias, running mean, running variance, [residual] -> y | y, mean, 1/std, new running mean,
// variance
class BatchNorm final : public Operation {
 public:
  std::string_view name() const noexcept override { return "batch_norm"; }
  std::vector<std::string_view> input_names() const override {
    return {"x", "gamma", "beta", "running_mean", "running_var"};
  }

  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    const bool add = attributes.integer_or("add", 0) != 0;
    expect_operands(inputs, add ? 6 : 5, add ? 6 : 5);
    const Shape& x = expect_rank(inputs, 0, 4);
    const NormGeometry g = norm_geometry(attributes, x);
    expect(x.elements() > 0, "expected extents of at least 1");
    expect_channels(inputs, 1, 4, g.c);
    if (add) expect(inputs[5]->shape == x, "expected a residual of shape " + to_string(x));
    if (attributes.integer("training") == 0) return {{x, DType::f32}};
    if (g.rows() < 2) {
      throw ShapeError("expected more than one value per channel when training",
                       "use a larger batch or larger images");
    }
    const ValueType channel{Shape{g.c}, DType::f32};
    return {{x, DType::f32}, channel, channel, channel, channel};
  }

  void gradient(GradientScope& scope) const override {
    if (scope.node().attributes.integer("training") == 0) Operation::gradient(scope);
    const auto result = scope.emit(
        "batch_norm_gradient",
        {{"eps", scope.node().attributes.real("eps")},
         {"momentum", scope.node().attributes.real("momentum")}},
        {scope.output_gradient(0), scope.input(0), scope.input(1), scope.output(1), scope.output(2)});
    for (std::size_t i = 0; i < 3; ++i) {
      if (scope.wants(i)) scope.set(i, result[i]);
    }
  }

  Cost cost(const Signature& s) const override {
    return {2.0 * static_cast<double>(s.inputs[0]->shape.elements())};  // one multiply-add an element
  }

  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    const NormGeometry g = norm_geometry(s.attributes, s.inputs[0]->shape);
    if (s.attributes.integer("training") == 0) {
      kernels::reference_norm_eval(g, in[0], in[1], in[2], in[3], in[4], out[0]);
    } else {
      kernels::reference_norm_train(g, in[0], in[1], in[2], in[3], in[4], out[0], out[1], out[2], out[3],
                                    out[4]);
    }
  }

  Lowering lower(const Signature& s, Isa isa) const override {
    const NormGeometry g = norm_geometry(s.attributes, s.inputs[0]->shape);
    if (s.attributes.integer("training") == 0) return {kernels::make_norm_eval(g, isa), "running statistics"};
    return {kernels::make_norm_train(g, isa), "batch statistics in fixed chunks"};
  }

  std::vector<std::size_t> in_place(const Attributes& attributes, std::size_t output) const override {
    const bool add = attributes.integer_or("add", 0) != 0;
    if (output == 3 || output == 4) return {output};
    if (output != 0) return {};
    if (attributes.integer("training") != 0)
      return add ? std::vector<std::size_t>{5} : std::vector<std::size_t>{};
    return add ? std::vector<std::size_t>{0, 5} : std::vector<std::size_t>{0};
  }

  bool optional_output(const Attributes&, std::size_t output) const override { return output >= 3; }

  bool carries(const Attributes& attributes, FusionRole role) const override {
    const bool relu = attributes.integer_or("relu", 0) != 0;
    const bool add = attributes.integer_or("add", 0) != 0;
    return (role == FusionRole::add && !add && !relu) || (role == FusionRole::relu && !relu);
  }
};

// dz, x, weight, mean, 1/std, [z] -> dx, dweight, dbias, [dresidual]
class BatchNormGradient final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return "batch_norm_gradient"; }

  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    const bool relu = attributes.integer_or("relu", 0) != 0;
    expect_operands(inputs, relu ? 6 : 5, relu ? 6 : 5);
    const Shape& x = expect_rank(inputs, 1, 4);
    const NormGeometry g = norm_geometry(attributes, x);
    expect(inputs[0]->shape == x && (!relu || inputs[5]->shape == x),
           "expected operands of shape " + to_string(x));
    expect_channels(inputs, 2, 4, g.c);
    const ValueType channel{Shape{g.c}, DType::f32};
    std::vector<ValueType> results = {{x, DType::f32}, channel, channel};
    if (g.add) results.push_back({x, DType::f32});
    return results;
  }

  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    kernels::reference_norm_gradient(norm_geometry(s.attributes, s.inputs[1]->shape), in[0], in[1], in[2],
                                     in[3], in[4], out[0], out[1], out[2]);
  }

  Lowering lower(const Signature& s, Isa isa) const override {
    return {kernels::make_norm_gradient(norm_geometry(s.attributes, s.inputs[1]->shape), isa),
            "sums in fixed chunks, then one sweep"};
  }

  std::vector<std::size_t> in_place(const Attributes&, std::size_t output) const override {
    return output == 0 || output == 3 ? std::vector<std::size_t>{0} : std::vector<std::size_t>{};
  }

  bool sums_to_zero(const Attributes&, std::size_t output) const override { return output == 0; }

  bool carries(const Attributes& attributes, FusionRole role) const override {
    return role == FusionRole::relu_gradient && attributes.integer_or("relu", 0) == 0;
  }
};

}  // namespace

OperationList batch_norm_operations() {
  static const BatchNorm forward;
  static const BatchNormGradient gradient;
  static const std::array<const Operation*, 2> list = {&forward, &gradient};
  return list;
}

}  // namespace resnet::ops

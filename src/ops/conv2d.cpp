// conv2d and linear with their two gradients each: one algebra, since a linear layer is the
// convolution of a 1x1 map by a 1x1 kernel.
#include <array>
#include <utility>

#include "kernels/conv/conv.h"
#include "kernels/norm/norm.h"
#include "ops/conv_geometry.h"
#include "ops/lists.h"
#include "ops/pool_geometry.h"
#include "ops/rules.h"

namespace resnet::ops {

kernels::ConvGeometry conv_geometry(const Attributes& attributes, const Shape& x, const Shape& w) {
  const Pair stride = pair_of(attributes, "stride", 1);
  const Pair padding = pair_of(attributes, "padding", 0);
  const Pair dilation = pair_of(attributes, "dilation", 1);
  const std::int64_t groups = attributes.integer("groups");
  expect(groups >= 1 && w[0] % groups == 0 && x[1] % groups == 0,
         "expected channels that " + std::to_string(groups) + " groups divide");
  expect(x[1] == w[1] * groups,
         "expected " + std::to_string(w[1] * groups) + " input channels, got " + std::to_string(x[1]));
  kernels::ConvGeometry g{.n = x[0],
                          .ci = x[1],
                          .co = w[0],
                          .h = x[2],
                          .w = x[3],
                          .kh = w[2],
                          .kw = w[3],
                          .sh = stride.h,
                          .sw = stride.w,
                          .ph = padding.h,
                          .pw = padding.w,
                          .dh = dilation.h,
                          .dw = dilation.w,
                          .groups = groups};
  expect(x.elements() > 0 && w.elements() > 0, "expected extents of at least 1");
  expect(g.h + 2 * g.ph >= g.dh * (g.kh - 1) + 1 && g.w + 2 * g.pw >= g.dw * (g.kw - 1) + 1,
         "expected an input at least as large as the kernel after padding");
  return g;
}

namespace {

using kernels::ConvCarried;
using kernels::ConvGeometry;
using kernels::ConvPass;

ConvCarried carried_of(const Attributes& attributes) {
  const auto is_set = [&](const char* name) { return attributes.integer_or(name, 0) != 0; };
  return {.norm = is_set("norm"),
          .relu = is_set("relu"),
          .moments = is_set("moments"),
          .add = is_set("add"),
          .sums = static_cast<ConvCarried::Sums>(attributes.integer_or("sums", 0)),
          .norm_gradient = is_set("norm_gradient")};
}

// The readable references are about the graph before neighbours are merged.
void expect_alone(const Attributes& attributes) {
  const ConvCarried carried = carried_of(attributes);
  if (carried.any_norm() || carried.add)
    throw FormatError("a convolution that carries a neighbour has only a native kernel");
}

// Geometry of x [N,F], w [O,F].
ConvGeometry linear_geometry(const Shape& x, const Shape& w) {
  expect(x[1] == w[1], "expected " + std::to_string(w[1]) + " input features, got " + std::to_string(x[1]));
  expect(x.elements() > 0 && w.elements() > 0, "expected extents of at least 1");
  return {.n = x[0], .ci = x[1], .co = w[0]};
}

template <bool kLinear>
constexpr int kRank = kLinear ? 2 : 4;

template <bool kLinear>
Shape output_shape(const ConvGeometry& g) {
  return kLinear ? Shape{g.n, g.co} : Shape{g.n, g.co, g.ho(), g.wo()};
}

Lowering lowered(const ConvGeometry& g, ConvPass pass, Isa isa, DType in, DType out,
                 const Attributes& attributes) {
  kernels::ConvChoice choice = kernels::choose_conv(g, pass, {in, out});
  return {kernels::make_conv(g, pass, isa, choice.tile, {in, out}, carried_of(attributes)),
          std::move(choice.reason)};
}

template <bool kLinear>
ConvGeometry geometry_of(const Attributes& attributes, const Shape& x, const Shape& w) {
  if constexpr (kLinear) return linear_geometry(x, w);
  return conv_geometry(attributes, x, w);
}

// A gradient node lacks one of x and w: the one it computes, whose shape is its attribute `extents`.
template <bool kLinear>
Shape stored_shape(const Attributes& attributes) {
  const Shape shape(attributes.integers("extents"));
  expect(shape.rank() == kRank<kLinear>, "expected extents of " + std::to_string(kRank<kLinear>) + " axes");
  return shape;
}

std::vector<std::int64_t> extents(const Shape& shape) {
  return {shape.begin(), shape.end()};
}

template <bool kLinear>
class Forward final : public Operation {
 public:
  std::string_view name() const noexcept override { return kLinear ? "linear" : "conv2d"; }
  std::vector<std::string_view> input_names() const override { return {"x", "w", "b"}; }

  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    const ConvCarried carried = carried_of(attributes);
    const std::size_t operands = carried.norm ? 4 : 3;  // the bias may be absent, its place may not
    expect(inputs.size() == operands, "expected " + std::to_string(operands) + " operands");
    expect_operands(inputs, 2, operands);
    const Shape& x = expect_rank(inputs, 0, kRank<kLinear>);
    const Shape& w = expect_rank(inputs, 1, kRank<kLinear>);
    const ConvGeometry g = geometry_of<kLinear>(attributes, x, w);
    if (inputs[2] != nullptr) {
      expect(inputs[2]->shape == Shape{g.co}, "expected a bias of shape " + to_string(Shape{g.co}));
    }
    expect(!carried.norm || (inputs[3] != nullptr && *inputs[3] == rows_of_channels(3, g.ci)),
           "expected a norm's table");
    std::vector<ValueType> results = {{output_shape<kLinear>(g), DType::f32}};
    if (carried.moments) results.push_back(rows_of_channels(3, g.co));
    return results;
  }

  void gradient(GradientScope& scope) const override {
    const ValueId dy = scope.output_gradient(0);
    const std::string family(name());
    // The weight gradient first: it can make dy on its way through (NormPart::gradient).
    if (scope.wants(1)) {
      Attributes attributes = scope.node().attributes;
      attributes.set("extents", extents(scope.type(scope.input(1)).shape));
      scope.set(1, scope.emit(family + "_weight_gradient", attributes, {scope.input(0), dy})[0]);
    }
    if (scope.wants(0)) {
      Attributes attributes = scope.node().attributes;
      attributes.set("extents", extents(scope.type(scope.input(0)).shape));
      scope.set(0, scope.emit(family + "_input_gradient", attributes, {dy, scope.input(1)})[0]);
    }
    // A bias in front of a batch norm has gradient zero exactly: no sum of rounding noise.
    if (scope.node().inputs.size() == 3 && scope.wants(2) && !scope.sums_to_zero(dy)) {
      scope.set(2, scope.emit("channel_sum", {}, {dy})[0]);
    }
  }

  Cost cost(const Signature& s) const override { return {geometry(s).flops()}; }

  void evaluate(const Signature& s, std::span<const View<const double>> inputs,
                std::span<const View<double>> outputs) const override {
    expect_alone(s.attributes);
    kernels::reference_conv_forward(geometry(s), inputs[0], inputs[1],
                                    inputs.size() == 3 ? inputs[2] : View<const double>{}, outputs[0]);
  }

  std::vector<std::size_t> bf16_operands(const graph::Node& node) const override {
    return {0, node.inputs.size()};
  }
  bool may_stay_f32(std::size_t operand) const override { return operand == 0; }  // images
  Lowering lower(const Signature& s, Isa isa) const override {
    return lowered(geometry(s), ConvPass::forward, isa, s.inputs[0]->dtype, s.outputs[0].dtype, s.attributes);
  }
  bool carries_part(const Signature& s, NormPart part) const override {
    const ConvCarried carried = carried_of(s.attributes);
    const ConvCarried wanted = {.norm = part == NormPart::apply, .moments = part == NormPart::moments};
    return !kLinear && ((wanted.moments && !carried.moments) || (wanted.norm && !carried.norm)) &&
           kernels::conv_carries(geometry(s), ConvPass::forward, {s.inputs[0]->dtype, s.outputs[0].dtype},
                                 wanted);
  }
  const Operation* pooled(const Signature& s, const Attributes& pool) const override {
    return kLinear ? nullptr : pooled_forward(geometry(s), pool_geometry(pool, s.outputs[0].shape, "pool_"));
  }

 private:
  static ConvGeometry geometry(const Signature& s) {
    return geometry_of<kLinear>(s.attributes, s.inputs[0]->shape, s.inputs[1]->shape);
  }
};

// dy, w, [addend], [the norm's x, table or mean, signs] -> dx, [sums]. It carries `add` at its end.
template <bool kLinear>
class InputGradient final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override {
    return kLinear ? "linear_input_gradient" : "conv2d_input_gradient";
  }
  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    const ConvCarried carried = carried_of(attributes);
    const bool sums = carried.sums != ConvCarried::Sums::none;
    const bool by_signs = carried.sums == ConvCarried::Sums::by_signs;
    const std::size_t norm = carried.add ? 3 : 2, operands = norm + (by_signs ? 3 : sums ? 2 : 0);
    expect_operands(inputs, operands, operands, by_signs ? norm + 2 : operands);
    const Shape& w = expect_rank(inputs, 1, kRank<kLinear>);
    const Shape dx = stored_shape<kLinear>(attributes);
    const Shape dy = output_shape<kLinear>(geometry_of<kLinear>(attributes, dx, w));
    expect(inputs[0]->shape == dy, "expected an output gradient of shape " + to_string(dy));
    if (carried.add) expect(inputs[2]->shape == dx, "expected an addend of shape " + to_string(dx));
    std::vector<ValueType> results = {{dx, DType::f32}};
    if (sums) {
      const ValueType channels = by_signs ? ValueType{Shape{dx[1]}, DType::f32} : rows_of_channels(3, dx[1]);
      expect(inputs[norm]->shape == dx && *inputs[norm + 1] == channels, "expected a norm's x and numbers");
      expect(!by_signs || inputs[norm + 2]->shape == Shape{kernels::signs_bytes(dx.elements())},
             "expected signs of " + to_string(dx));
      results.push_back(rows_of_channels(3, dx[1]));
    }
    return results;
  }
  Cost cost(const Signature& s) const override { return {geometry(s).flops()}; }
  void evaluate(const Signature& s, std::span<const View<const double>> inputs,
                std::span<const View<double>> outputs) const override {
    expect_alone(s.attributes);
    kernels::reference_conv_input_gradient(geometry(s), inputs[0], inputs[1], outputs[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node& node) const override {
    const ConvCarried carried = carried_of(node.attributes);
    std::vector<std::size_t> result = {0, node.inputs.size()};
    if (carried.add) result.push_back(2);
    if (carried.sums != ConvCarried::Sums::none) result.push_back(carried.add ? 3 : 2);
    return result;
  }
  Lowering lower(const Signature& s, Isa isa) const override {
    return lowered(geometry(s), ConvPass::input_gradient, isa, s.inputs[0]->dtype, s.outputs[0].dtype,
                   s.attributes);
  }
  std::vector<std::size_t> in_place(const Attributes& attributes, std::size_t output) const override {
    return output == 0 && carried_of(attributes).add ? std::vector<std::size_t>{2}
                                                     : std::vector<std::size_t>{};
  }
  bool carries(const Attributes& attributes, FusionRole role) const override {
    return role == FusionRole::add && !carried_of(attributes).add;
  }
  bool carries_part(const Signature& s, NormPart part) const override {
    return !kLinear && part == NormPart::sums && carried_of(s.attributes).sums == ConvCarried::Sums::none &&
           kernels::conv_carries(geometry(s), ConvPass::input_gradient,
                                 {s.inputs[0]->dtype, s.outputs[0].dtype},
                                 {.sums = ConvCarried::Sums::by_table});
  }

 private:
  static ConvGeometry geometry(const Signature& s) {
    return geometry_of<kLinear>(s.attributes, stored_shape<kLinear>(s.attributes), s.inputs[1]->shape);
  }
};

// x, dy or dz, [table], [the norm's x, gradient table] -> dw, [dy]
template <bool kLinear>
class WeightGradient final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override {
    return kLinear ? "linear_weight_gradient" : "conv2d_weight_gradient";
  }
  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    const ConvCarried carried = carried_of(attributes);
    const std::size_t norm = carried.norm ? 3 : 2, operands = norm + (carried.norm_gradient ? 2 : 0);
    expect_operands(inputs, operands, operands);
    const Shape& x = expect_rank(inputs, 0, kRank<kLinear>);
    const Shape dw = stored_shape<kLinear>(attributes);
    const Shape dy = output_shape<kLinear>(geometry_of<kLinear>(attributes, x, dw));
    expect(inputs[1]->shape == dy, "expected an output gradient of shape " + to_string(dy));
    expect(!carried.norm || *inputs[2] == rows_of_channels(3, x[1]), "expected a norm's table");
    std::vector<ValueType> results = {{dw, DType::f32}};
    if (carried.norm_gradient) {
      expect(inputs[norm]->shape == dy && *inputs[norm + 1] == rows_of_channels(4, dy[1]),
             "expected a norm's x and gradient table");
      results.push_back({dy, DType::f32});
    }
    return results;
  }
  Cost cost(const Signature& s) const override { return {geometry(s).flops()}; }
  void evaluate(const Signature& s, std::span<const View<const double>> inputs,
                std::span<const View<double>> outputs) const override {
    expect_alone(s.attributes);
    kernels::reference_conv_weight_gradient(geometry(s), inputs[0], inputs[1], outputs[0]);
  }
  std::vector<std::size_t> bf16_operands(const graph::Node& node) const override {
    const std::size_t inputs = node.inputs.size();
    return carried_of(node.attributes).norm_gradient ? std::vector<std::size_t>{0, 1, inputs - 2, inputs + 1}
                                                     : std::vector<std::size_t>{0, 1};
  }
  bool may_stay_f32(std::size_t operand) const override { return operand == 0; }
  Lowering lower(const Signature& s, Isa isa) const override {
    return lowered(geometry(s), ConvPass::weight_gradient, isa, s.inputs[0]->dtype, s.inputs[1]->dtype,
                   s.attributes);
  }
  // dy takes over the norm's x where that is free: dz may be wanted elsewhere.
  std::vector<std::size_t> in_place(const Attributes& attributes, std::size_t output) const override {
    if (output != 1) return {};
    return {carried_of(attributes).norm ? 3U : 2U, 1U};
  }
  bool carries_part(const Signature& s, NormPart part) const override {
    const ConvCarried carried = carried_of(s.attributes);
    const ConvCarried wanted = {.norm = part == NormPart::apply, .norm_gradient = part == NormPart::gradient};
    return !kLinear && ((wanted.norm && !carried.norm) || (wanted.norm_gradient && !carried.norm_gradient)) &&
           kernels::conv_carries(geometry(s), ConvPass::weight_gradient,
                                 {s.inputs[0]->dtype, s.inputs[1]->dtype}, wanted);
  }
  const Operation* pooled(const Signature& s, const Attributes& pool) const override {
    return kLinear ? nullptr
                   : pooled_weight_gradient(geometry(s), pool_geometry(pool, s.inputs[1]->shape, "pool_"));
  }

 private:
  static ConvGeometry geometry(const Signature& s) {
    return geometry_of<kLinear>(s.attributes, s.inputs[0]->shape, stored_shape<kLinear>(s.attributes));
  }
};

template <bool kLinear>
OperationList operations() {
  static const Forward<kLinear> forward;
  static const InputGradient<kLinear> input_gradient;
  static const WeightGradient<kLinear> weight_gradient;
  static const std::array<const Operation*, 3> list = {&forward, &input_gradient, &weight_gradient};
  return list;
}

}  // namespace

OperationList conv2d_operations() {
  return operations<false>();
}
OperationList linear_operations() {
  return operations<true>();
}

}  // namespace resnet::ops

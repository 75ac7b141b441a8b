// batch_norm and its gradient. It carries `add`, `relu` and then `max_pool` at its end, its gradient
// carries theirs at its start.
#include <array>
#include <string>

#include "kernels/norm/norm.h"
#include "ops/lists.h"
#include "ops/pool_geometry.h"
#include "ops/rules.h"

namespace resnet::ops {
namespace {

using kernels::NormGeometry;

bool is_set(const Attributes& attributes, const std::string& name) {
  return attributes.integer_or(name, 0) != 0;
}

bool pools(const Attributes& attributes) {
  return attributes.has("pool_kernel");
}

NormGeometry norm_geometry(const Attributes& attributes, const Shape& x) {
  const double eps = attributes.real("eps");
  const double momentum = attributes.real("momentum");
  expect(eps > 0 && momentum >= 0 && momentum <= 1, "expected eps > 0 and momentum within [0, 1]");
  return {.n = x[0],
          .c = x[1],
          .pixels = x[2] * x[3],
          .eps = eps,
          .momentum = momentum,
          .add = is_set(attributes, "add"),
          .relu = is_set(attributes, "relu"),
          .signs = is_set(attributes, "signs"),
          .pool = pools(attributes) ? std::optional(pool_geometry(attributes, x, "pool_")) : std::nullopt,
          .given = is_set(attributes, "given"),
          .table_only = is_set(attributes, "table_only"),
          .table_gate = is_set(attributes, "table_gate"),
          .samples = attributes.integer_or("samples", 0)};
}

// The shape of x, operand i, which may be absent where only a table is wanted.
Shape shape_of_x(const Attributes& attributes, std::span<const ValueType* const> inputs, std::size_t i) {
  if (!is_set(attributes, "table_only")) return expect_rank(inputs, i, 4);
  const Shape x(attributes.integers("extents"));
  expect(x.rank() == 4 && (inputs[i] == nullptr || inputs[i]->shape == x), "expected extents of four axes");
  return x;
}

// Where only a table is wanted of numbers that are given, no map is read.
bool reads_maps(const Attributes& attributes) {
  return !is_set(attributes, "table_only") || !is_set(attributes, "given");
}
void expect_all(const Attributes& attributes, std::span<const ValueType* const> inputs, std::size_t count,
                std::size_t maps, std::size_t floats = 99) {
  if (reads_maps(attributes)) return expect_operands(inputs, count, count, floats);
  expect_operands(inputs.subspan(maps), count - maps, count - maps);
}

// The readable references and the gradient's rule are about the graph before neighbours are merged.
void expect_unfused(const Attributes& attributes) {
  const bool merged = pools(attributes) || attributes.has("add") || attributes.has("relu") ||
                      attributes.has("given") || attributes.has("table_only");
  if (merged) throw FormatError("a batch norm that carries a neighbour has only a native kernel");
}

void expect_channels(std::span<const ValueType* const> inputs, std::size_t first, std::size_t last,
                     std::int64_t c) {
  for (std::size_t i = first; i <= last; ++i) {
    expect(inputs[i]->shape == Shape{c}, "expected " + std::to_string(c) + " channels, got operand " +
                                             std::to_string(i) + " of shape " + to_string(inputs[i]->shape));
  }
}

ValueType signs_of(const Shape& z) {
  return {Shape{kernels::signs_bytes(z.elements())}, DType::u8};
}

// x, weight, bias, running mean, running variance, [residual], [moments] -> y or table | y or table, mean,
// 1/std, new running mean, variance; [signs or index]
class BatchNorm final : public Operation {
 public:
  std::string_view name() const noexcept override { return "batch_norm"; }
  std::vector<std::string_view> input_names() const override {
    return {"x", "gamma", "beta", "running_mean", "running_var"};
  }

  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    const bool add = is_set(attributes, "add"), given = is_set(attributes, "given");
    const std::size_t operands = 5 + (add ? 1U : 0U) + (given ? 1U : 0U);
    expect(inputs.size() == operands, "expected " + std::to_string(operands) + " operands");
    expect_all(attributes, inputs, operands, 1);
    const Shape x = shape_of_x(attributes, inputs, 0);
    const NormGeometry g = norm_geometry(attributes, x);
    expect(x.elements() > 0, "expected extents of at least 1");
    expect_channels(inputs, 1, 4, g.c);
    if (add) expect(inputs[5]->shape == x, "expected a residual of shape " + to_string(x));
    expect(!given || *inputs.back() == rows_of_channels(3, g.c), "expected moments");
    expect(!g.table_only || (!add && !g.signs && !g.pool), "expected no neighbours of a table");
    std::vector<ValueType> results = {
        g.table_only ? rows_of_channels(3, g.c) : ValueType{g.pool ? pooled_shape(*g.pool) : x, DType::f32}};
    if (attributes.integer("training") == 0) {
      expect(!given, "expected no moments where the running ones serve");
      return with_index(std::move(results), g);
    }
    expect(g.samples == 0 || given, "expected moments of samples");
    if (g.counted() < 2) {
      throw ShapeError("expected more than one value per channel when training",
                       "use a larger batch or larger images");
    }
    const ValueType channel{Shape{g.c}, DType::f32};
    results.insert(results.end(), 4, channel);
    if (g.signs) results.push_back(signs_of(x));
    return with_index(std::move(results), g);
  }

  void gradient(GradientScope& scope) const override {
    if (scope.node().attributes.integer("training") == 0) Operation::gradient(scope);
    expect_unfused(scope.node().attributes);
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
    if (is_set(s.attributes, "table_only")) return {};
    return {2.0 * static_cast<double>(s.inputs[0]->shape.elements())};  // one multiply-add an element
  }

  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    expect_unfused(s.attributes);
    const NormGeometry g = norm_geometry(s.attributes, s.inputs[0]->shape);
    if (s.attributes.integer("training") == 0) {
      kernels::reference_norm_eval(g, in[0], in[1], in[2], in[3], in[4], out[0]);
    } else {
      kernels::reference_norm_train(g, in[0], in[1], in[2], in[3], in[4], out[0], out[1], out[2], out[3],
                                    out[4]);
    }
  }

  std::vector<std::size_t> bf16_operands(const graph::Node& node) const override {
    const std::size_t z = node.inputs.size();
    if (is_set(node.attributes, "table_only")) return {0};
    return is_set(node.attributes, "add") ? std::vector<std::size_t>{0, 5, z}
                                          : std::vector<std::size_t>{0, z};
  }
  Lowering lower(const Signature& s, Isa isa) const override {
    const NormGeometry g = norm_geometry(s.attributes, shape_of_x(s.attributes, s.inputs, 0));
    const DType storage = s.inputs[0] != nullptr ? s.inputs[0]->dtype : DType::f32;
    const std::string rest = g.table_only ? "; applied by its readers" : "";
    if (s.attributes.integer("training") == 0)
      return {kernels::make_norm_eval(g, isa, storage), "running statistics" + rest};
    return {kernels::make_norm_train(g, isa, storage),
            (g.given ? "batch statistics from its producer" : "batch statistics in fixed chunks") + rest};
  }

  std::vector<std::size_t> in_place(const Attributes& attributes, std::size_t output) const override {
    const bool add = is_set(attributes, "add");
    if (output == 3 || output == 4) return {output};
    if (output != 0 || pools(attributes) || is_set(attributes, "table_only")) return {};
    if (attributes.integer("training") != 0)
      return add ? std::vector<std::size_t>{5} : std::vector<std::size_t>{};
    return add ? std::vector<std::size_t>{0, 5} : std::vector<std::size_t>{0};
  }

  bool optional_output(const Attributes& attributes, std::size_t output) const override {
    return output >= (attributes.integer("training") == 0 ? 1U : 3U);
  }

  bool carries(const Attributes& attributes, FusionRole role) const override {
    const bool relu = is_set(attributes, "relu");
    const bool add = is_set(attributes, "add");
    if (pools(attributes)) return false;
    return (role == FusionRole::add && !add && !relu) || (role == FusionRole::relu && !relu);
  }
  FusionRole role() const override { return FusionRole::norm; }
  bool gives_signs(const Attributes& attributes) const override {
    return is_set(attributes, "relu") && !pools(attributes) && attributes.integer("training") != 0;
  }
  bool carries_pool(const Attributes& attributes, const Attributes& pool, const Shape& x) const override {
    return !pools(attributes) && !is_set(attributes, "add") && kernels::norm_carries(pool_geometry(pool, x));
  }

 private:
  static std::vector<ValueType> with_index(std::vector<ValueType> results, const NormGeometry& g) {
    if (g.pool) results.push_back({pooled_shape(*g.pool), kernels::max_pool_index_dtype(*g.pool)});
    return results;
  }
};

// dz, x, weight, mean, 1/std, [index], [z, its signs or table], [sums] -> dx or table, dweight, dbias,
// [dresidual]
class BatchNormGradient final : public Operation {
 public:
  bool for_inference() const noexcept override { return false; }
  std::string_view name() const noexcept override { return "batch_norm_gradient"; }

  std::vector<ValueType> infer(const Attributes& attributes,
                               std::span<const ValueType* const> inputs) const override {
    const bool relu = is_set(attributes, "relu"), given = is_set(attributes, "given");
    const std::size_t index = 5, z = pools(attributes) ? 6 : 5;
    const bool samples = attributes.has("samples");
    const std::size_t operands = z + (relu ? 1U : 0U) + (given ? 1U : 0U) + (samples ? 1U : 0U);
    expect(inputs.size() == operands, "expected " + std::to_string(operands) + " operands");
    expect_all(attributes, inputs, operands, 2, index);
    const Shape x = shape_of_x(attributes, inputs, 1);
    const NormGeometry g = norm_geometry(attributes, x);
    const Shape shape = g.pool ? pooled_shape(*g.pool) : x;
    const ValueType gate = g.signs        ? signs_of(x)
                           : g.table_gate ? rows_of_channels(3, g.c)
                                          : ValueType{shape, DType::f32};
    expect((!reads_maps(attributes) || inputs[0]->shape == shape) && (!relu || *inputs[z] == gate) &&
               (!g.pool || *inputs[index] == ValueType{shape, kernels::max_pool_index_dtype(*g.pool)}),
           "expected operands of shape " + to_string(shape));
    expect(!given || (!relu && !g.add && !g.pool && *inputs[z] == rows_of_channels(3, g.c)),
           "expected sums of a gradient that is gated");
    expect(!samples || (g.table_only && *inputs.back() == rows_of_channels(3, g.c)), "expected moments");
    expect(!g.pool || !g.add, "expected no second result of a gradient that carries a pool");
    expect_channels(inputs, 2, 4, g.c);
    const ValueType channel{Shape{g.c}, DType::f32};
    std::vector<ValueType> results = {g.table_only ? rows_of_channels(4, g.c) : ValueType{x, DType::f32},
                                      channel, channel};
    if (g.add) results.push_back({x, DType::f32});
    return results;
  }

  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    expect_unfused(s.attributes);
    kernels::reference_norm_gradient(norm_geometry(s.attributes, s.inputs[1]->shape), in[0], in[1], in[2],
                                     in[3], in[4], out[0], out[1], out[2]);
  }

  std::vector<std::size_t> bf16_operands(const graph::Node& node) const override {
    const std::size_t inputs = node.inputs.size();
    const bool by_value = is_set(node.attributes, "relu") && !is_set(node.attributes, "signs") &&
                          !is_set(node.attributes, "table_gate");
    std::vector<std::size_t> result = {0, 1};
    if (!is_set(node.attributes, "table_only")) result.push_back(inputs);
    if (by_value) result.push_back(pools(node.attributes) ? 6 : 5);
    if (is_set(node.attributes, "add")) result.push_back(inputs + 3);
    return result;
  }
  Lowering lower(const Signature& s, Isa isa) const override {
    const NormGeometry g = norm_geometry(s.attributes, shape_of_x(s.attributes, s.inputs, 1));
    const DType storage = s.inputs[0] != nullptr ? s.inputs[0]->dtype : DType::f32;
    return {kernels::make_norm_gradient(g, isa, storage),
            std::string(g.given ? "sums from its producer" : "sums in fixed chunks") +
                (g.table_only ? "; applied by its reader" : ", then one sweep")};
  }

  // dx takes over x where that is free: dz is then left for dresidual.
  std::vector<std::size_t> in_place(const Attributes& attributes, std::size_t output) const override {
    if (is_set(attributes, "table_only")) return {};
    if (output == 0) return pools(attributes) ? std::vector<std::size_t>{1} : std::vector<std::size_t>{1, 0};
    return output == 3 ? std::vector<std::size_t>{0} : std::vector<std::size_t>{};
  }

  bool sums_to_zero(const Attributes&, std::size_t output) const override { return output == 0; }
  FusionRole role() const override { return FusionRole::norm_gradient; }

  // Behind a pool z is small.
  std::optional<std::size_t> sign_input(const Attributes& attributes) const override {
    const bool reads = is_set(attributes, "relu") && !is_set(attributes, "signs") && !pools(attributes);
    return reads ? std::optional<std::size_t>(5) : std::nullopt;
  }

  bool carries(const Attributes& attributes, FusionRole role) const override {
    if (is_set(attributes, "relu")) return false;
    if (role == FusionRole::relu_gradient) return true;
    return role == FusionRole::shared_relu_gradient && !pools(attributes);
  }
  bool carries_pool(const Attributes& attributes, const Attributes& pool, const Shape& x) const override {
    return !pools(attributes) && !is_set(attributes, "relu") && !is_set(attributes, "add") &&
           kernels::norm_carries(pool_geometry(pool, x));
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

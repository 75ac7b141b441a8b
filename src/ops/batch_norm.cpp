#include "ops/batch_norm.h"

#include <string>

#include "ops/add.h"
#include "ops/max_pool.h"
#include "ops/relu.h"

namespace resnet::ops {

using kernels::NormGeometry;

namespace {

// The shape of x, which may be absent where only coefficients are wanted.
Shape shape_of_x(const ValueType* x, bool coefficients_only, const Shape& option) {
  if (!coefficients_only) {
    expect(x != nullptr && x->shape.rank() == 4, "expected an operand of 4 axes");
    return x->shape;
  }
  expect(option.rank() == 4 && (x == nullptr || x->shape == option), "expected extents of four axes");
  return option;
}

// Coefficients alone, of statistics that are known (from a producer, or running), read no map.
template <class Options>
bool reads_maps(const Options& options, bool stats_known) {
  return !options.coefficients_only || !stats_known;
}

template <class Options>
NormGeometry geometry_of(const Options& options, const Shape& x) {
  expect(is_eps(options.eps) && options.momentum >= 0 && options.momentum <= 1,
         "expected eps > 0 and finite in f32, and momentum within [0, 1]");
  return {.n = x[0],
          .c = x[1],
          .pixels = x[2] * x[3],
          .eps = options.eps,
          .momentum = options.momentum,
          .add = options.residual,
          .pool = options.pool ? std::optional(pool_geometry(*options.pool, x)) : std::nullopt,
          .coefficients_only = options.coefficients_only,
          .samples = options.samples};
}

// The readable references and the gradient's rule are about the graph before neighbours are fused.
void refuse_fused(bool fused) {
  if (fused) throw FormatError("a batch norm with a fused neighbour has only a native kernel");
}

void expect_channels(std::span<const ValueType* const> inputs, std::initializer_list<std::size_t> slots,
                     std::int64_t c) {
  expect_f32(inputs, slots);
  for (const std::size_t i : slots) {
    expect(inputs[i]->shape == Shape{c}, "expected " + std::to_string(c) + " channels, got operand " +
                                             std::to_string(i) + " of shape " + to_string(inputs[i]->shape));
  }
}

ValueType mask_of(const Shape& z) {
  return {Shape{kernels::relu_mask_bytes(z.elements())}, DType::u8};
}

ValueType index_of(const kernels::PoolGeometry& pool) {
  return {pooled_shape(pool), kernels::max_pool_index_dtype(pool)};
}

}  // namespace

Op BatchNorm::read(const Attributes& attributes) {
  graph::AttributeReader reader(attributes);
  const BatchNormOptions options{.eps = reader.real("eps"),
                                 .momentum = reader.real("momentum"),
                                 .training = reader.integer("training") != 0};
  reader.finish();
  return make<BatchNorm>(options);
}

Attributes BatchNorm::attributes() const {
  return {{"eps", options_.eps},
          {"momentum", options_.momentum},
          {"training", std::int64_t{options_.training ? 1 : 0}}};
}

NormGeometry BatchNorm::geometry(std::span<const ValueType* const> inputs) const {
  NormGeometry g =
      geometry_of(options_, shape_of_x(inputs[BatchNormInput::x], options_.coefficients_only, options_.x));
  g.relu = options_.relu;
  g.relu_mask = options_.relu_mask;
  g.stats_from_producer = options_.stats_from_producer;
  return g;
}

std::vector<std::optional<ValueType>> BatchNorm::infer(std::span<const ValueType* const> inputs) const {
  using In = BatchNormInput;
  const bool stats_from_producer = options_.stats_from_producer;
  if (reads_maps(options_, stats_from_producer || !options_.training)) expect_f32(inputs, {In::x});
  const Shape x = shape_of_x(inputs[In::x], options_.coefficients_only, options_.x);
  const NormGeometry g = geometry(inputs);
  expect(x.elements() > 0, "expected extents of at least 1");
  expect_channels(inputs, {In::gamma, In::beta, In::running_mean, In::running_var}, g.c);
  if (expect_if(options_.residual, inputs, In::residual))
    expect(inputs[In::residual]->shape == x, "expected a residual of shape " + to_string(x));
  if (expect_if(stats_from_producer, inputs, In::moments))
    expect(*inputs[In::moments] == rows_of_channels(3, g.c), "expected moments");
  expect(!options_.coefficients_only || (!options_.residual && !options_.relu_mask && !g.pool),
         "expected no neighbours of coefficients");
  const ValueType map{g.pool ? pooled_shape(*g.pool) : x, DType::f32};
  std::vector<std::optional<ValueType>> results(BatchNormOutput::pool_index + 1);
  results[BatchNormOutput::y] = options_.coefficients_only ? rows_of_channels(3, g.c) : map;
  if (g.pool) results[BatchNormOutput::pool_index] = index_of(*g.pool);
  if (!options_.training) {
    expect(!stats_from_producer, "expected no moments where the running ones serve");
    return results;
  }
  expect(g.samples == 0 || stats_from_producer, "expected moments of samples");
  if (g.counted() < 2) {
    throw ShapeError("expected more than one value per channel when training",
                     "use a larger batch or larger images");
  }
  for (const std::size_t i : {BatchNormOutput::mean, BatchNormOutput::inv_std, BatchNormOutput::running_mean,
                              BatchNormOutput::running_var})
    results[i] = ValueType{Shape{g.c}, DType::f32};
  if (options_.relu_mask) results[BatchNormOutput::relu_mask] = mask_of(x);
  return results;
}

void BatchNorm::expect_unfused() const {
  refuse_fused(options_.pool || options_.residual || options_.relu || options_.stats_from_producer ||
               options_.coefficients_only);
}

void BatchNorm::gradient(GradientScope& scope) const {
  using In = BatchNormInput;
  using Out = BatchNormOutput;
  using Gradient = BatchNormGradientOutput;
  if (!options_.training) Operation::gradient(scope);
  expect_unfused();
  const BatchNormGradientOptions options{.eps = options_.eps, .momentum = options_.momentum};
  const auto result = scope.emit(make<BatchNormGradient>(options),
                                 {scope.output_gradient(Out::y), scope.input(In::x), scope.input(In::gamma),
                                  scope.output(Out::mean), scope.output(Out::inv_std)});
  if (scope.wants(In::x)) scope.set(In::x, result[Gradient::dx]);
  if (scope.wants(In::gamma)) scope.set(In::gamma, result[Gradient::dgamma]);
  if (scope.wants(In::beta)) scope.set(In::beta, result[Gradient::dbeta]);
}

Cost BatchNorm::cost(const Signature& s) const {
  if (options_.coefficients_only) return {};
  return {2.0 * elements_of(s)};  // one multiply-add an element
}

void BatchNorm::evaluate(const Signature& s, std::span<const View<const double>> in,
                         std::span<const View<double>> out) const {
  using In = BatchNormInput;
  using Out = BatchNormOutput;
  expect_unfused();
  const NormGeometry g = geometry(s.inputs);
  if (options_.training) {
    kernels::reference_norm_train(g, in[In::x], in[In::gamma], in[In::beta], in[In::running_mean],
                                  in[In::running_var], out[Out::y], out[Out::mean], out[Out::inv_std],
                                  out[Out::running_mean], out[Out::running_var]);
  } else {
    kernels::reference_norm_eval(g, in[In::x], in[In::gamma], in[In::beta], in[In::running_mean],
                                 in[In::running_var], out[Out::y]);
  }
}

std::optional<Fusion> BatchNorm::with_epilogue(const Operation& next, std::size_t slot) const {
  if (options_.pool) return std::nullopt;
  BatchNormOptions options = options_;
  if (dynamic_cast<const Add*>(&next) != nullptr && !options.residual && !options.relu) {
    options.residual = true;
    return Fusion{make<BatchNorm>(std::move(options)), Move{AddInput::other(slot), BatchNormInput::residual}};
  }
  if (dynamic_cast<const Relu*>(&next) != nullptr && !options.relu) {
    options.relu = true;
    return Fusion{make<BatchNorm>(std::move(options))};
  }
  if (const auto* pool = dynamic_cast<const MaxPool*>(&next); pool != nullptr && !options.residual) {
    options.pool = pool->window();
    return Fusion{
        make<BatchNorm>(std::move(options)), {}, Move{MaxPoolOutput::index, BatchNormOutput::pool_index}};
  }
  return std::nullopt;
}

NormGeometry BatchNormGradient::geometry(std::span<const ValueType* const> inputs) const {
  NormGeometry g = geometry_of(
      options_, shape_of_x(inputs[BatchNormGradientInput::x], options_.coefficients_only, options_.x));
  g.relu = options_.gate != Gate::none;
  g.relu_mask = options_.gate == Gate::mask;
  g.gate_by_coefficients = options_.gate == Gate::coefficients;
  g.stats_from_producer = options_.sums_from_producer;
  return g;
}

std::vector<std::optional<ValueType>> BatchNormGradient::infer(
    std::span<const ValueType* const> inputs) const {
  using In = BatchNormGradientInput;
  const bool sums_from_producer = options_.sums_from_producer, gated = options_.gate != Gate::none;
  const bool maps = reads_maps(options_, sums_from_producer), samples = options_.samples != 0;
  if (maps) expect_f32(inputs, {In::dz, In::x});
  const Shape x = shape_of_x(inputs[In::x], options_.coefficients_only, options_.x);
  const NormGeometry g = geometry(inputs);
  const Shape shape = g.pool ? pooled_shape(*g.pool) : x;
  const ValueType gate = g.relu_mask              ? mask_of(x)
                         : g.gate_by_coefficients ? rows_of_channels(3, g.c)
                                                  : ValueType{shape, DType::f32};
  const auto is = [&](std::size_t slot, bool wanted, const ValueType& type) {
    return wanted ? inputs[slot] != nullptr && *inputs[slot] == type : inputs[slot] == nullptr;
  };
  expect((!maps || inputs[In::dz]->shape == shape) && is(In::gate, gated, gate) &&
             (g.pool ? is(In::pool_index, true, index_of(*g.pool)) : inputs[In::pool_index] == nullptr),
         "expected operands of shape " + to_string(shape));
  expect((!sums_from_producer || (!gated && !g.add && !g.pool)) &&
             is(In::sums, sums_from_producer, rows_of_channels(3, g.c)),
         "expected sums of a gradient that is gated");
  expect((!samples || g.coefficients_only) && is(In::moments, samples, rows_of_channels(3, g.c)),
         "expected moments");
  expect(!g.pool || !g.add, "expected no second result of a gradient with a fused pool");
  expect_channels(inputs, {In::gamma, In::mean, In::inv_std}, g.c);
  const ValueType channel{Shape{g.c}, DType::f32}, map{x, DType::f32};
  return {g.coefficients_only ? rows_of_channels(4, g.c) : map, channel, channel,
          g.add ? std::optional(map) : std::nullopt};
}

void BatchNormGradient::evaluate(const Signature& s, std::span<const View<const double>> in,
                                 std::span<const View<double>> out) const {
  using In = BatchNormGradientInput;
  using Out = BatchNormGradientOutput;
  refuse_fused(options_.pool || options_.residual || options_.gate != Gate::none ||
               options_.sums_from_producer || options_.coefficients_only);
  kernels::reference_norm_gradient(geometry(s.inputs), in[In::dz], in[In::x], in[In::gamma], in[In::mean],
                                   in[In::inv_std], out[Out::dx], out[Out::dgamma], out[Out::dbeta]);
}

std::optional<Fusion> BatchNormGradient::with_prologue(const Operation& previous, bool shared) const {
  BatchNormGradientOptions options = options_;
  if (options.gate != Gate::none) return std::nullopt;
  if (dynamic_cast<const ReluGradient*>(&previous) != nullptr && !(shared && options.pool)) {
    options.gate = Gate::value;
    options.residual = shared;
    Fusion fusion{make<BatchNormGradient>(std::move(options)),
                  Move{ReluGradientInput::y, BatchNormGradientInput::gate}};
    if (shared) fusion.output = Move{kMainOutput, BatchNormGradientOutput::dresidual};
    return fusion;
  }
  const auto* pool = dynamic_cast<const MaxPoolGradient*>(&previous);
  if (pool == nullptr || shared || options.pool || options.residual) return std::nullopt;
  options.pool = pool->options().window;
  return Fusion{make<BatchNormGradient>(std::move(options)),
                Move{MaxPoolGradientInput::index, BatchNormGradientInput::pool_index}};
}

}  // namespace resnet::ops

// A batch norm with a fused max pool computes what the two compute one after the other: the results bit for
// bit, gradients' sums in another order. The place of a maximum is that of the largest x (or smallest, where
// gamma is negative), also where rounding or a ReLU makes several z of a window equal.
#include <gtest/gtest.h>

#include <string>

#include "kernels/norm/norm.h"
#include "pool_case.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

/// An instruction set, and what activations are stored as.
struct Machine {
  Isa isa;
  DType storage;
};

/// Calls check(machine, norm geometry with its pool) for shapes of networks, awkward ones and random ones,
/// each with every fusion.
template <class Check>
void for_cases(const Check& check) {
  std::vector<PoolGeometry> pools = {
      {.n = 3, .c = 64, .h = 48, .w = 48, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
      {.n = 2, .c = 3, .h = 33, .w = 41, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
      {.n = 2, .c = 10, .h = 8, .w = 8, .kh = 3, .kw = 3, .ph = 1, .pw = 1},  // as large as its input
      {.n = 2, .c = 7, .h = 5, .w = 1, .kh = 2, .kw = 1},
      {.n = 2, .c = 17, .h = 7, .w = 11, .kh = 2, .kw = 3, .sh = 3, .sw = 5},  // pixels that no window covers
      {.n = 1, .c = 33, .h = 20, .w = 19, .kh = 17, .kw = 17, .ph = 8, .pw = 7},  // 289 taps
      {.n = 40, .c = 1, .h = 30, .w = 30, .kh = 2, .kw = 2, .sh = 2, .sw = 2},
      {.n = 2, .c = 513, .h = 4, .w = 4, .kh = 4, .kw = 4}};
  Numbers numbers("norm and pool shapes");
  for (int i = 0; i < 12; ++i) {
    pools.push_back(
        random_pool(numbers, 2, {.n = 5, .c = 90, .h = 20, .w = 20, .kh = 4, .kw = 4, .sh = 3, .sw = 3}));
  }
  std::vector<Machine> machines;
  for (const Isa isa : isas()) machines.push_back({isa, DType::f32});
  if (best_isa() == Isa::avx512_bf16) machines.push_back({Isa::avx512_bf16, DType::bf16});
  for (const Machine machine : machines) {
    for (const PoolGeometry& pool : pools) {
      for (const bool relu : {false, true}) {
        const NormGeometry g = {
            .n = pool.n, .c = pool.c, .pixels = pool.h * pool.w, .relu = relu, .pool = pool};
        SCOPED_TRACE(std::string(name_of(machine.isa)) + ", " + std::string(name_of(machine.storage)) + ", " +
                     to_string(Shape{pool.n, pool.c, pool.h, pool.w}) + " kernel, stride, padding " +
                     to_string(Shape{pool.kh, pool.kw, pool.sh, pool.sw, pool.ph, pool.pw}) +
                     (g.relu ? " + relu" : ""));
        check(machine, g);
      }
    }
  }
}

Index pixels(const NormGeometry& g) {
  return g.rows() * g.c;
}
Index pooled(const NormGeometry& g) {
  return g.n * g.c * g.pool->ho() * g.pool->wo();
}
NormGeometry without_pool(NormGeometry g) {
  g.pool.reset();
  return g;
}
Operand index_output(const NormGeometry& g) {
  return max_pool_index_dtype(*g.pool) == DType::u8 ? output<std::uint8_t>(pooled(g))
                                                    : output<std::int32_t>(pooled(g));
}
Operand given(const Result& result, std::size_t operand) {
  return input(result.bytes(operand));
}

std::vector<Operand> inputs(const NormGeometry& g, DType storage) {
  Numbers numbers("norm and pool");
  Values variance = numbers.normal(g.c);
  for (double& v : variance) v = 0.1 + v * v;
  std::vector<Operand> operands = {activations(numbers.normal(pixels(g), 0.5), storage),
                                   input(numbers.normal(g.c, 1, 0.5)), input(numbers.normal(g.c)),
                                   input(numbers.normal(g.c)), input(variance)};
  return operands;
}

// The norm alone, then the pool: {z, the norm's other outputs..., y, index}.
struct Apart {
  Result norm, pool;
};
Apart apart(const Kernel& norm, const NormGeometry& g, Machine m, int channel_outputs) {
  std::vector<Operand> operands = inputs(g, m.storage);
  const std::size_t z = operands.size();
  operands.push_back(activations_output(pixels(g), m.storage));
  for (int i = 0; i < channel_outputs; ++i) operands.push_back(output(g.c));
  Result normed = run(norm, operands);
  Result maxima = run(*make_max_pool(*g.pool, m.isa, m.storage),
                      {given(normed, z), activations_output(pooled(g), m.storage), index_output(g)});
  return {std::move(normed), std::move(maxima)};
}

// Where the largest gamma * x of each window stands.
std::vector<std::byte> index_of_extremes(const NormGeometry& g, Machine m) {
  const std::vector<Operand> in = inputs(g, m.storage);
  Values x = values_of(in[0].content, m.storage);
  const Values gamma = values_of(in[1].content, DType::f32);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double factor = gamma[i % gamma.size()];
    x[i] *= factor > 0 ? 1 : factor < 0 ? -1 : 0;
  }
  return run(*make_max_pool(*g.pool, m.isa, m.storage),
             {activations(x, m.storage), activations_output(pooled(g), m.storage), index_output(g)})
      .bytes(2);
}

void expect_same(const Kernel& fused, const Apart& expected, const NormGeometry& g, Machine m,
                 int channel_outputs) {
  std::vector<Operand> operands = inputs(g, m.storage);
  const std::size_t z = operands.size();
  operands.push_back(activations_output(pooled(g), m.storage));
  for (int i = 0; i < channel_outputs; ++i) operands.push_back(output(g.c));
  operands.push_back(index_output(g));
  const Result result = run(fused, operands);
  EXPECT_EQ(result.bytes(z), expected.pool.bytes(1)) << "y";
  EXPECT_EQ(result.bytes(operands.size() - 1), index_of_extremes(g, m)) << "index";
  for (std::size_t i = z + 1; i + 1 < operands.size(); ++i)
    EXPECT_EQ(result.bytes(i), expected.norm.bytes(i)) << "output " << i;
  operands.back() = absent();
  EXPECT_EQ(run(fused, operands).bytes(z), expected.pool.bytes(1)) << "without an index";
}

TEST(NormPool, TrainIsNormThenPool) {
  for_cases([](Machine m, const NormGeometry& g) {
    const Apart expected = apart(*make_norm_train(without_pool(g), m.isa, m.storage), g, m, 4);
    expect_same(*make_norm_train(g, m.isa, m.storage), expected, g, m, 4);
  });
}

TEST(NormPool, EvalIsNormThenPool) {
  for_cases([](Machine m, const NormGeometry& g) {
    const Apart expected = apart(*make_norm_eval(without_pool(g), m.isa, m.storage), g, m, 0);
    expect_same(*make_norm_eval(g, m.isa, m.storage), expected, g, m, 0);
  });
}

TEST(NormPool, GradientIsThePoolsThenTheNorms) {
  for_cases([](Machine m, const NormGeometry& g) {
    const Apart forward = apart(*make_norm_train(without_pool(g), m.isa, m.storage), g, m, 4);
    const std::vector<Operand> in = inputs(g, m.storage);
    const Operand dy = activations(Numbers("dy").normal(pooled(g)), m.storage);
    const Operand index = input(index_of_extremes(g, m));
    const Result spread = run(*make_max_pool_gradient(*g.pool, m.isa, m.storage),
                              {dy, index, activations_output(pixels(g), m.storage)});
    std::vector<Operand> operands = {given(spread, 2), in[0], in[1], given(forward.norm, 6),
                                     given(forward.norm, 7)};
    if (g.relu) operands.push_back(given(forward.norm, 5));  // masked by z, after the spreading
    const std::size_t dx = operands.size();
    operands.push_back(activations_output(pixels(g), m.storage));
    for (int i = 0; i < 2; ++i) operands.push_back(output(g.c));
    const Result expected = run(*make_norm_gradient(without_pool(g), m.isa, m.storage), operands);

    operands[0] = dy;
    operands.insert(operands.begin() + 5, index);
    if (g.relu) operands[6] = given(forward.pool, 1);  // masked by y, before it
    const auto kernel = make_norm_gradient(g, m.isa, m.storage);
    const Result result = run(*kernel, operands);

    // Sums of the same numbers in another order, where windows overlap spread in bf16 rounded before.
    const double relative = 64 * kRound + (m.storage == DType::bf16 ? 0x1p-8 : 0.0);
    const Values dz = values_of(spread.bytes(2), m.storage), x = values_of(in[0].content, m.storage),
                 gamma = values_of(in[1].content, DType::f32),
                 mean = values_of(forward.norm.bytes(6), DType::f32),
                 inv_std = values_of(forward.norm.bytes(7), DType::f32);
    const auto channels = static_cast<std::size_t>(g.c);
    Values dgamma_bound(channels), dbeta_bound(channels);
    const auto normal = [&](std::size_t i) {
      return std::abs(x[i] - mean[i % channels]) * inv_std[i % channels];
    };
    for (std::size_t i = 0; i < dz.size(); ++i) {
      dbeta_bound[i % channels] += relative * std::abs(dz[i]);
      dgamma_bound[i % channels] += relative * std::abs(dz[i]) * normal(i);
    }
    const auto as_double = [&](std::size_t operand, DType type) {
      return values_of(expected.bytes(operand), type);
    };
    EXPECT_TRUE(close(values_of(result.bytes(dx + 2), DType::f32), as_double(dx + 1, DType::f32),
                      [&](std::size_t i) { return dgamma_bound[i]; }))
        << "dgamma";
    EXPECT_TRUE(close(values_of(result.bytes(dx + 3), DType::f32), as_double(dx + 2, DType::f32),
                      [&](std::size_t i) { return dbeta_bound[i]; }))
        << "dbeta";
    const Values dx_expected = as_double(dx, m.storage);
    EXPECT_TRUE(close(values_of(result.bytes(dx + 1), m.storage), dx_expected, [&](std::size_t i) {
      const std::size_t c = i % channels;
      const double of_sums = (dbeta_bound[c] + normal(i) * dgamma_bound[c]) / static_cast<double>(g.rows());
      return std::abs(gamma[c]) * inv_std[c] * (of_sums + relative * std::abs(dz[i])) +
             relative * std::abs(dx_expected[i]);
    })) << "dx";
    operands[dx + 1] = same_as(1);
    EXPECT_EQ(run(*kernel, operands).bytes(1), result.bytes(dx + 1)) << "dx over x";
  });
}

}  // namespace
}  // namespace resnet::kernels

// A batch norm that carries a max pool computes, bit for bit, what the two compute one after the other.
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
      for (const int fused : {0, 1, 2, 3}) {
        const NormGeometry g = {.n = pool.n,
                                .c = pool.c,
                                .pixels = pool.h * pool.w,
                                .add = (fused & 2) != 0,
                                .relu = (fused & 1) != 0,
                                .pool = pool};
        SCOPED_TRACE(std::string(name_of(machine.isa)) + ", " + std::string(name_of(machine.storage)) + ", " +
                     to_string(Shape{pool.n, pool.c, pool.h, pool.w}) + " kernel, stride, padding " +
                     to_string(Shape{pool.kh, pool.kw, pool.sh, pool.sw, pool.ph, pool.pw}) +
                     (g.add ? " + add" : "") + (g.relu ? " + relu" : ""));
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
  if (g.add) operands.push_back(activations(numbers.normal(pixels(g)), storage));
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

void expect_same(const Kernel& fused, const Apart& expected, const NormGeometry& g, Machine m,
                 int channel_outputs) {
  std::vector<Operand> operands = inputs(g, m.storage);
  const std::size_t z = operands.size();
  operands.push_back(activations_output(pooled(g), m.storage));
  for (int i = 0; i < channel_outputs; ++i) operands.push_back(output(g.c));
  operands.push_back(index_output(g));
  const Result result = run(fused, operands);
  EXPECT_EQ(result.bytes(z), expected.pool.bytes(1)) << "y";
  EXPECT_EQ(result.bytes(operands.size() - 1), expected.pool.bytes(2)) << "index";
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
    if (g.add) return;
    const Apart forward = apart(*make_norm_train(without_pool(g), m.isa, m.storage), g, m, 4);
    const std::vector<Operand> in = inputs(g, m.storage);
    const Operand dy = activations(Numbers("dy").normal(pooled(g)), m.storage);
    const Result spread = run(*make_max_pool_gradient(*g.pool, m.isa, m.storage),
                              {dy, given(forward.pool, 2), activations_output(pixels(g), m.storage)});
    std::vector<Operand> operands = {given(spread, 2), in[0], in[1], given(forward.norm, 6),
                                     given(forward.norm, 7)};
    if (g.relu) operands.push_back(given(forward.norm, 5));  // masked by z, after the spreading
    const std::size_t dx = operands.size();
    operands.push_back(activations_output(pixels(g), m.storage));
    for (int i = 0; i < 2; ++i) operands.push_back(output(g.c));
    const Result expected = run(*make_norm_gradient(without_pool(g), m.isa, m.storage), operands);

    operands[0] = dy;
    operands.insert(operands.begin() + 5, given(forward.pool, 2));
    if (g.relu) operands[6] = given(forward.pool, 1);  // masked by y, before it
    const auto kernel = make_norm_gradient(g, m.isa, m.storage);
    const Result result = run(*kernel, operands);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(result.bytes(dx + 1 + i), expected.bytes(dx + i)) << i;
    operands[dx + 1] = same_as(1);
    EXPECT_EQ(run(*kernel, operands).bytes(1), expected.bytes(dx)) << "dx over x";
  });
}

}  // namespace
}  // namespace resnet::kernels

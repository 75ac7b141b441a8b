// A convolution with a fused pool chooses, bit for bit, what the convolution and the pool choose one
// after the other, and its weight gradient is that of the convolution, of a gradient that was never stored.
#include <gtest/gtest.h>

#include <string>

#include "conv_case.h"
#include "kernel_test_support.h"
#include "kernels/conv/stem/stem.h"
#include "kernels/pool/pool_simd.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

struct Machine {
  Isa isa;
  ConvStorage storage;
};

struct Case {
  ConvGeometry conv;
  PoolGeometry pool;
  bool bias = false;

  Index x() const { return conv.n * conv.h * conv.w * conv.ci; }
  Index y() const { return conv.n * conv.ho() * conv.wo() * conv.co; }
  Index w() const { return conv.kh * conv.kw * conv.ci * conv.co; }
  Index pooled() const { return pool.n * pool.ho() * pool.wo() * pool.c; }
};

Case with_pool(ConvGeometry conv, PoolGeometry pool, bool bias) {
  pool.n = conv.n, pool.c = conv.co, pool.h = conv.ho(), pool.w = conv.wo();
  return {conv, pool, bias};
}

ConvGeometry stem(Index n, Index ci, Index h, Index w) {
  return {.n = n, .ci = ci, .co = 64, .h = h, .w = w, .kh = 7, .kw = 7, .sh = 2, .sw = 2, .ph = 3, .pw = 3};
}

constexpr PoolGeometry kOverlapping = {.kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1};
constexpr PoolGeometry kApart = {.kh = 2, .kw = 2, .sh = 2, .sw = 2};

Case random_case(Numbers& numbers) {
  while (true) {
    ConvGeometry g;
    g.n = numbers.between(1, 4);
    g.ci = numbers.between(1, 4);
    g.co = numbers.between(1, 40);
    g.h = numbers.between(1, 40);
    g.w = numbers.between(1, 40);
    g.kh = numbers.between(1, 5);
    g.kw = numbers.between(1, 5);
    g.sh = numbers.between(1, 3);
    g.sw = numbers.between(1, 3);
    g.ph = numbers.between(0, 4);
    g.pw = numbers.between(0, 4);
    g.dh = numbers.between(1, 2);
    g.dw = numbers.between(1, 2);
    if (g.h + 2 * g.ph < g.dh * (g.kh - 1) + 1 || g.w + 2 * g.pw < g.dw * (g.kw - 1) + 1) continue;
    PoolGeometry pool;
    pool.kh = numbers.between(1, std::min<Index>(4, g.ho()));
    pool.kw = numbers.between(1, std::min<Index>(4, g.wo()));
    pool.sh = numbers.between(1, 5);
    pool.sw = numbers.between(1, 5);
    pool.ph = numbers.between(0, pool.kh / 2);
    pool.pw = numbers.between(0, pool.kw / 2);
    return with_pool(g, pool, numbers.below(2) == 0);
  }
}

std::vector<Case> cases() {
  std::vector<Case> all = {
      with_pool(stem(3, 1, 96, 96), kOverlapping, false), with_pool(stem(1, 1, 96, 96), kOverlapping, true),
      with_pool(stem(2, 3, 96, 96), kOverlapping, false), with_pool(stem(5, 1, 97, 61), kOverlapping, true),
      with_pool(stem(40, 1, 20, 20), kApart, false), with_pool(stem(1, 3, 224, 224), kOverlapping, true),
      // More places in a window than a byte has; rows longer than a run; several panels, the last in part.
      with_pool({.n = 1, .ci = 1, .co = 5, .h = 40, .w = 40, .kh = 3, .kw = 3},
                {.kh = 17, .kw = 17, .sh = 2, .sw = 3, .ph = 8, .pw = 8}, false),
      with_pool({.n = 1, .ci = 2, .co = 9, .h = 9, .w = 700, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
                kOverlapping, true),
      with_pool({.n = 2, .ci = 1, .co = 83, .h = 12, .w = 12, .kh = 1, .kw = 1}, kApart, false)};
  Numbers numbers("pooled shapes");
  for (int i = 0; i < 25; ++i) all.push_back(random_case(numbers));
  return all;
}

template <class Check>
void for_cases(const Check& check) {
  std::vector<Machine> machines;
  for (const Isa isa : isas()) machines.push_back({isa, {}});
  if (best_isa() == Isa::avx512_bf16) {
    machines.push_back({Isa::avx512_bf16, {DType::f32, DType::bf16}});
    machines.push_back({Isa::avx512_bf16, {DType::bf16, DType::bf16}});
  }
  for (const Machine& m : machines) {
    for (const Case& c : cases()) {
      // Of pairs of bf16 channels the convolution makes other products.
      if (m.storage.in == DType::bf16 && c.conv.ci % 2 == 0) continue;
      const PoolGeometry& p = c.pool;
      SCOPED_TRACE(std::string(name_of(m.isa)) + ", " + std::string(name_of(m.storage.in)) + " to " +
                   std::string(name_of(m.storage.out)) + ", " + text_of(c.conv) + ", pool " +
                   to_string(Shape{p.kh, p.kw, p.sh, p.sw, p.ph, p.pw}) + (c.bias ? ", bias" : ""));
      check(m, c);
    }
  }
}

/// x, w, bias as operands; bias null if the case has none.
std::vector<Operand> inputs(const Case& c, DType storage, bool integers) {
  Numbers numbers("pooled");
  const auto some = [&](Index count) {
    return integers ? numbers.integers(count, -1, 1) : numbers.normal(count);
  };
  std::vector<Operand> operands = {activations(some(c.x()), storage), input(some(c.w()))};
  operands.push_back(c.bias ? input(some(c.conv.co)) : absent());
  return operands;
}

const ConvPoolAlgorithm& as_one() {
  return *conv_pool_algorithms().front();
}

/// y as it would be stored.
std::vector<std::byte> convolution(const Case& c, Machine m, std::vector<Operand> operands) {
  operands.push_back(activations_output(c.y(), m.storage.out));
  return run_with(*algorithm("direct").make(c.conv, ConvPass::forward, m.isa, m.storage), operands, 1)
      .bytes(3);
}

Operand index_output(const Case& c) {
  return max_pool_index_dtype(c.pool) == DType::u8 ? output<std::uint8_t>(c.pooled())
                                                   : output<std::int32_t>(c.pooled());
}

/// Positive, negative, and of every seventh channel zero.
Values factors(Index channels) {
  Values gamma = Numbers("gamma").normal(channels);
  for (std::size_t i = 3; i < gamma.size(); i += 7) gamma[i] = 0;
  return gamma;
}

template <class T>
void choose(const Case& c, Isa isa, const std::vector<std::byte>& y, Operand& chosen, Operand& index) {
  std::vector<float> sign;
  for (const double g : factors(c.conv.co)) sign.push_back(g > 0 ? 1.0F : g < 0 ? -1.0F : 0.0F);
  max_pool_functions<T>(isa).max(PoolTables(c.pool), {0, c.pool.n * c.pool.ho()},
                                 reinterpret_cast<const T*>(y.data()), sign.data(),
                                 reinterpret_cast<T*>(chosen.content.data()), index.content.data());
}

TEST(ConvPool, ChoosesWhatConvolutionAndPoolChoose) {
  for_cases([](Machine m, const Case& c) {
    std::vector<Operand> operands = inputs(c, m.storage.in, false);
    const std::vector<std::byte> y = convolution(c, m, operands);
    Operand chosen = activations_output(c.pooled(), m.storage.out), index = index_output(c);
    operands.insert(operands.end(), {input(factors(c.conv.co)), chosen, index, output(3 * c.conv.co)});
    m.storage.out == DType::bf16 ? choose<BFloat16>(c, m.isa, y, chosen, index)
                                 : choose<float>(c, m.isa, y, chosen, index);
    const auto kernel = as_one().make(c.conv, c.pool, ConvPass::forward, m.isa, m.storage);
    const Result result = run(*kernel, operands);
    EXPECT_EQ(result.bytes(4), chosen.content) << "chosen";
    EXPECT_EQ(result.bytes(5), index.content) << "index";
    operands[5] = absent();
    const Result without = run_with(*kernel, operands, 2);
    EXPECT_EQ(without.bytes(4), chosen.content) << "without an index";
    EXPECT_EQ(without.bytes(6), result.bytes(6)) << "without an index";
  });
}

void expect_moments(Machine m, const Case& c, std::vector<Operand> operands) {
  const Values y = values_of(convolution(c, m, operands), m.storage.out);
  operands.insert(operands.end(), {input(factors(c.conv.co)), activations_output(c.pooled(), m.storage.out),
                                   absent(), output(3 * c.conv.co)});
  const std::vector<float> moments =
      run(*as_one().make(c.conv, c.pool, ConvPass::forward, m.isa, m.storage), operands).get(6);
  const auto channels = static_cast<std::size_t>(c.conv.co);
  const double rows = static_cast<double>(y.size() / channels);
  for (std::size_t i = 0; i < channels; ++i) {
    double mean = 0, variance = 0;
    for (std::size_t at = i; at < y.size(); at += channels) mean += y[at] / rows;
    for (std::size_t at = i; at < y.size(); at += channels)
      variance += (y[at] - mean) * (y[at] - mean) / rows;
    const double rounded = static_cast<double>(moments[i]), rest = static_cast<double>(moments[channels + i]);
    EXPECT_LE(std::abs(rest), 1.01 * kRound * std::abs(mean)) << "channel " << i;
    EXPECT_NEAR(rounded + rest, mean, 1e-6 * std::sqrt(variance) + 0x1p-46 * std::abs(mean))
        << "channel " << i;
    EXPECT_NEAR(static_cast<double>(moments[2 * channels + i]), variance, 1e-6 * variance + 1e-30)
        << "channel " << i;
  }
}

TEST(ConvPool, MomentsCountEveryOutputOnce) {
  for_cases([](Machine m, const Case& c) { expect_moments(m, c, inputs(c, m.storage.in, false)); });
}

TEST(ConvPool, MomentsHoldWhereTheMeanIsAThousandDeviations) {
  for (const Isa isa : isas()) {
    for (const Index n : {1, 8}) {
      const Case c = with_pool(stem(n, 1, 97, 61), kOverlapping, true);
      std::vector<Operand> operands = inputs(c, DType::f32, false);
      operands[2] = input(Numbers("far").normal(c.conv.co, 7000, 700));  // y deviates by 7
      expect_moments({isa, {}}, c, operands);
    }
  }
}

/// dw in double of the composition, and of each number the sum of the magnitudes that went into it.
struct Expected {
  Values dw, magnitude;
};

Values absolute(Values values) {
  for (double& v : values) v = std::abs(v);
  return values;
}

Values magnitude_of_y(const Case& c, const Values& x, const Values& w, const Values& bias) {
  const ConvGeometry& g = c.conv;
  Values y(static_cast<std::size_t>(c.y()));
  const Values kernel =
      transposed(transposed(absolute(w), 1, g.kh * g.kw * g.ci, g.co), g.co, g.kh * g.kw, g.ci);
  reference_conv_forward(g, view(transposed(absolute(x), g.n, g.h * g.w, g.ci), {g.n, g.ci, g.h, g.w}),
                         view(kernel, {g.co, g.ci, g.kh, g.kw}), {nullptr, {g.co}},
                         target(y, {g.n, g.co, g.ho(), g.wo()}));
  y = transposed(y, g.n, g.co, g.ho() * g.wo());
  for (std::size_t i = 0; c.bias && i < y.size(); ++i) y[i] += std::abs(bias[i % bias.size()]);
  return y;
}

/// `rounding`: of the y that is given, in the unit of the magnitude.
Expected composed(const Case& c, const std::vector<Values>& convolved, const Values& y, const Values& spread,
                  const Values& table, double rounding) {
  const ConvGeometry& g = c.conv;
  const auto channels = static_cast<std::size_t>(g.co);
  const Values y_magnitude = magnitude_of_y(c, convolved[0], convolved[1], convolved[2]);
  Values dy(y.size()), size(y.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t ch = i % channels;
    const double centre = table[ch], scale_dz = table[channels + ch], scale_x = table[2 * channels + ch],
                 constant = table[3 * channels + ch];
    dy[i] = spread[i] * scale_dz + (y[i] - centre) * scale_x + constant;
    size[i] = std::abs(spread[i] * scale_dz) + std::abs(constant) +
              (y_magnitude[i] + std::abs(centre) + std::abs(y[i]) * rounding) * std::abs(scale_x);
  }
  const auto gradient = [&](const Values& from, const Values& of) {
    Values dw(static_cast<std::size_t>(c.w()));
    reference_conv_weight_gradient(
        g, view(transposed(from, g.n, g.h * g.w, g.ci), {g.n, g.ci, g.h, g.w}),
        view(transposed(of, g.n, g.ho() * g.wo(), g.co), {g.n, g.co, g.ho(), g.wo()}),
        target(dw, {g.co, g.ci, g.kh, g.kw}));
    return transposed(transposed(dw, g.co, g.ci, g.kh * g.kw), 1, g.co, g.kh * g.kw * g.ci);
  };
  return {gradient(convolved[0], dy), gradient(absolute(convolved[0]), size)};
}

void expect_weight_gradient(Machine m, const Case& c, bool integers, bool masked) {
  std::vector<Operand> operands = inputs(c, m.storage.in, integers);
  const std::vector<std::byte> y = convolution(c, m, operands);
  Operand chosen = activations_output(c.pooled(), m.storage.out), index = index_output(c);
  m.storage.out == DType::bf16 ? choose<BFloat16>(c, m.isa, y, chosen, index)
                               : choose<float>(c, m.isa, y, chosen, index);
  Numbers numbers("dz");
  const auto some = [&](Index count) {
    return integers ? numbers.integers(count, -2, 2) : numbers.normal(count);
  };
  const Operand dz = activations(some(c.pooled()), m.storage.out),
                z = activations(some(c.pooled()), m.storage.out);
  const Values table = some(4 * c.conv.co);
  operands.insert(operands.end(), {dz, index, masked ? z : absent(), input(table), output(c.w())});
  const Result result =
      run(*as_one().make(c.conv, c.pool, ConvPass::weight_gradient, m.isa, m.storage), operands);

  Values counted = values_of(dz.content, m.storage.out);
  const Values gate = values_of(z.content, m.storage.out);
  for (std::size_t i = 0; masked && i < counted.size(); ++i) counted[i] = gate[i] > 0 ? counted[i] : 0;
  const Result spread =
      run_with(*make_max_pool_gradient(c.pool, m.isa), {input(counted), index, output(c.y())}, 1);
  const std::vector<Values> convolved = {values_of(operands[0].content, m.storage.in),
                                         values_of(operands[1].content, DType::f32),
                                         values_of(operands[2].content, DType::f32)};
  // Sums of sums: 192 pixels, then as many of those as a part has pieces of a row; all else is in double.
  const double roundings = 192 + static_cast<double>(c.conv.n * c.conv.ho()) + 8;
  const Expected expected =
      composed(c, convolved, values_of(y, m.storage.out), values_of(spread.bytes(2), DType::f32),
               values_of(input(table).content, DType::f32),
               m.storage.out == DType::bf16 ? 0x1p-8 / (roundings * kRound) : 0.0);
  // Of products of bf16 both operands are rounded.
  const double operands_rounded = m.storage.out == DType::bf16 ? 2.01 * 0x1p-8 : 0.0;
  EXPECT_TRUE(close(result.get(operands.size() - 1), expected.dw, [&](std::size_t i) {
    return integers ? 0.0 : (roundings * kRound + operands_rounded) * expected.magnitude[i];
  })) << (masked ? "masked" : "all");
}

TEST(ConvPool, WeightGradientIsOfWhatThePoolSpreads) {
  for_cases([](Machine m, const Case& c) {
    if (c.conv.flops() > 1e8) return;  // the reference takes its time
    for (const bool masked : {false, true}) expect_weight_gradient(m, c, false, masked);
  });
}

TEST(ConvPool, WeightGradientOfIntegersIsExact) {
  for_cases([](Machine m, const Case& c) {
    if (c.conv.flops() > 1e8) return;
    for (const bool masked : {false, true}) expect_weight_gradient(m, c, true, masked);
  });
}

TEST(ConvPool, ServesStemsAndRefusesWhatIsDear) {
  const auto serves = [](const ConvGeometry& g, const PoolGeometry& pool) {
    const Case c = with_pool(g, pool, false);
    return as_one().serves(c.conv, c.pool);
  };
  EXPECT_TRUE(serves(stem(256, 1, 96, 96), kOverlapping));
  EXPECT_TRUE(serves(stem(32, 3, 224, 224), kOverlapping));
  EXPECT_TRUE(serves(stem(32, 3, 64, 64), kApart));
  EXPECT_FALSE(serves(stem(256, 64, 96, 96), kOverlapping)) << "products";
  EXPECT_FALSE(serves(stem(4, 1, 96, 4096), kOverlapping)) << "long rows";
  EXPECT_FALSE(serves(stem(4, 1, 96, 96), {.kh = 9, .kw = 9, .ph = 4, .pw = 4})) << "rows made twice";
  ConvGeometry grouped = stem(4, 2, 96, 96);
  grouped.groups = 2;
  EXPECT_FALSE(serves(grouped, kOverlapping)) << "groups";
  EXPECT_FALSE(as_one().serves(stem(4, 1, 96, 96), kOverlapping)) << "another map";
  const Case c = with_pool(grouped, kOverlapping, false);
  EXPECT_THROW(as_one().make(c.conv, c.pool, ConvPass::forward, Isa::avx2), ShapeError);
  EXPECT_THROW(as_one().make(stem(4, 1, 96, 96), kOverlapping, ConvPass::weight_gradient, Isa::avx2),
               ShapeError);
}

TEST(ConvPool, OneImageHasTasksForThreads) {
  const Case c = with_pool(stem(1, 1, 96, 96), kOverlapping, false);
  EXPECT_GE(as_one().make(c.conv, c.pool, ConvPass::forward, Isa::avx2)->tasks(1), 4);
  EXPECT_GE(as_one().make(c.conv, c.pool, ConvPass::weight_gradient, Isa::avx2)->tasks(1), 4);
}

}  // namespace
}  // namespace resnet::kernels

// A convolution that fuses parts of the batch norms beside it computes what the parts compute one after the
// other: results bit for bit, sums within rounding. Numbers are small integers where a norm's result must be
// exact in bf16 too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "conv_case.h"
#include "kernel_test_support.h"
#include "kernels/norm/norm.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

struct Case {
  ConvMachine machine;
  ConvGeometry g;
  std::string_view by;
  ConvStorage storage() const { return {machine.storage, machine.storage}; }
};

using Shapes = std::vector<std::pair<ConvGeometry, std::string_view>>;  // with an algorithm

/// Shapes of networks and random ones, at stride 1 and 2.
Shapes winograd_shapes() {
  Shapes shapes;
  const auto add = [&](Index n, Index ci, Index co, Index h, Index w, Index stride, std::string_view by) {
    ConvGeometry g = {.n = n, .ci = ci, .co = co, .h = h, .w = w};
    g.kh = g.kw = 3;
    g.ph = g.pw = 1;
    g.sh = g.sw = stride;
    shapes.emplace_back(g, by);
  };
  add(40, 64, 64, 24, 24, 1, "F(4x4)");  // blocks of a task's own
  add(3, 17, 40, 7, 13, 1, "F(3x3)");
  add(2, 33, 5, 9, 25, 1, "F(4x4)");
  add(5, 64, 96, 12, 12, 2, "parity");
  add(260, 16, 8, 3, 3, 1, "F(3x3)");
  for (std::uint64_t seed = 1; seed <= 60; ++seed)
    shapes.emplace_back(random_winograd_geometry(seed), seed % 4 < 2 ? "F(3x3)" : "F(4x4)");
  for (std::uint64_t seed = 1; seed <= 30; ++seed)
    shapes.emplace_back(random_parity_geometry(seed), "parity");
  return shapes;
}

/// The same, and in tiles of gradients alone.
Shapes gradient_shapes() {
  Shapes shapes = winograd_shapes();
  shapes.emplace_back(
      ConvGeometry{.n = 30, .ci = 64, .co = 64, .h = 24, .w = 24, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      "F(6x6)");
  shapes.emplace_back(
      ConvGeometry{.n = 140, .ci = 257, .co = 40, .h = 6, .w = 6, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      "F(6x6)");
  for (std::uint64_t seed = 61; seed <= 90; ++seed)
    shapes.emplace_back(random_winograd_geometry(seed), "F(6x6)");
  return shapes;
}

/// Of a bottleneck, of many panels, and random ones of one group.
Shapes direct_shapes() {
  Shapes shapes = {
      {{.n = 3, .ci = 64, .co = 256, .h = 14, .w = 13}, "direct"},
      {{.n = 2, .ci = 40, .co = 130, .h = 9, .w = 9, .kh = 1, .kw = 1, .sh = 2, .sw = 2}, "direct"},
      {{.n = 1, .ci = 3, .co = 70, .h = 33, .w = 21, .kh = 7, .kw = 7, .sh = 2, .sw = 2, .ph = 3, .pw = 3},
       "direct"}};
  for (std::uint64_t seed = 1; shapes.size() < 60; ++seed) {
    const ConvGeometry g = random_geometry(seed);
    if (g.groups == 1) shapes.emplace_back(g, "direct");
  }
  return shapes;
}

/// Groups side by side in a vector, groups of several vectors, many blocks, and random ones.
Shapes grouped_shapes() {
  Shapes shapes = {
      {{.n = 2, .ci = 40, .co = 40, .h = 30, .w = 31, .kh = 3, .kw = 3, .ph = 1, .pw = 1, .groups = 10},
       "grouped"},
      {{.n = 1, .ci = 80, .co = 80, .h = 7, .w = 7, .kh = 3, .kw = 3, .ph = 1, .pw = 1, .groups = 2},
       "grouped"}};
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    shapes.emplace_back(random_grouped_geometry(seed), "grouped");
  return shapes;
}

/// Calls check(case, numbers).
template <class Check>
void for_cases(const Shapes& shapes, const Check& check) {
  for (const ConvMachine& machine : conv_machines()) {
    std::uint64_t stream = 0;
    for (const auto& [g, by] : shapes) {
      if (by == "F(6x6)" && machine.storage != DType::f32) continue;  // there is none
      SCOPED_TRACE(std::string(name_of(machine.isa)) + ", " + std::string(by) + ", " + text_of(g));
      Numbers numbers("conv and norm " + std::to_string(++stream));
      check(Case{machine, g, by}, numbers);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

Index x_size(const ConvGeometry& g) {
  return g.n * g.h * g.w * g.ci;
}
Index y_size(const ConvGeometry& g) {
  return g.n * g.ho() * g.wo() * g.co;
}
Index w_size(const ConvGeometry& g) {
  return g.kh * g.kw * (g.ci / g.groups) * g.co;
}

/// Rows of one integer for each channel, the second never zero in all.
Values table(Numbers& numbers, Index rows, Index channels) {
  Values values = numbers.integers(rows * channels, -2, 2);
  return values;
}

/// max((x - mean) * scale + offset, floor), exact on integers.
Values normed(const Values& x, const Values& table, bool relu) {
  const std::size_t c = table.size() / 3;
  Values z(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t k = i % c;
    z[i] = (x[i] - table[k]) * table[c + k] + table[2 * c + k];
    if (relu) z[i] = std::max(z[i], 0.0);
  }
  return z;
}

/// `tolerance` is of the largest deviation, `half_ulp` of each y: what storing it took after it was counted.
void expect_moments(const std::vector<float>& moments, const Values& y, std::size_t channels,
                    double tolerance, double half_ulp = 0) {
  const double rows = static_cast<double>(y.size() / channels);
  for (std::size_t c = 0; c < channels; ++c) {
    double mean = 0, squares = 0, most = 0, off = 0;
    for (std::size_t i = c; i < y.size(); i += channels) {
      mean += y[i] / rows;
      off = std::max(off, half_ulp * std::abs(y[i]));
    }
    for (std::size_t i = c; i < y.size(); i += channels) {
      squares += (y[i] - mean) * (y[i] - mean) / rows;
      most = std::max(most, std::abs(y[i] - mean));
    }
    const double rest = 0x1p-40 * std::abs(mean);  // of these sums in double
    const double given = static_cast<double>(moments[c]) + static_cast<double>(moments[channels + c]);
    EXPECT_NEAR(given, mean, tolerance * most + off + rest) << "mean of channel " << c;
    EXPECT_NEAR(static_cast<double>(moments[2 * channels + c]), squares,
                2 * tolerance * most * most + (2 * most + 3 * off) * off + rest * rest)
        << "variance of channel " << c;
    EXPECT_LE(std::abs(moments[channels + c]), 0x1p-24F * std::abs(moments[c])) << "rest of channel " << c;
  }
}

// Sums of a task are of at most a few hundred pixels, about the mean of the first of its tiles.
constexpr double kMoments = 1024 * kRound;
// What rounding a result to bf16 after it was counted takes.
double rounding(DType storage) {
  return storage == DType::bf16 ? 0x1p-8 : 0.0;
}

TEST(ConvNorm, ForwardReadsThroughANormAndAccumulatesMoments) {
  for_cases(winograd_shapes(), [](const Case& c, Numbers& numbers) {
    for (const bool relu : {true, false}) {
      const Values x = numbers.integers(x_size(c.g), -4, 4), w = numbers.normal(w_size(c.g)),
                   bias = numbers.normal(c.g.co), norm = table(numbers, 3, c.g.ci);
      const auto storage = c.machine.storage;
      const auto plain = algorithm(c.by).make(c.g, ConvPass::forward, c.machine.isa, c.storage());
      const Result expected = run_with(*plain,
                                       {activations(normed(x, norm, relu), storage), input(w), input(bias),
                                        activations_output(y_size(c.g), storage)},
                                       1);
      const auto fused = algorithm(c.by).make(c.g, ConvPass::forward, c.machine.isa, c.storage(),
                                              {.norm = true, .relu = relu, .moments = true});
      const Result result = run(*fused, {activations(x, storage), input(w), input(bias), input(norm),
                                         activations_output(y_size(c.g), storage), output(3 * c.g.co)});
      EXPECT_EQ(result.bytes(4), expected.bytes(3)) << fused->name();
      expect_moments(result.get(5), values_of(result.bytes(4), storage), static_cast<std::size_t>(c.g.co),
                     kMoments, rounding(storage));
    }
  });
}

// The formula of the evaluation's norm on what a convolution would have stored, bit for bit.
void expect_normalized(const Shapes& shapes) {
  for_cases(shapes, [](const Case& c, Numbers& numbers) {
    const auto storage = c.machine.storage;
    const auto channels = static_cast<std::size_t>(c.g.co);
    const std::vector<Operand> inputs = {activations(numbers.normal(x_size(c.g)), storage),
                                         input(numbers.normal(w_size(c.g))), input(numbers.normal(c.g.co))};
    const Operand z = activations_output(y_size(c.g), storage);
    const Values norm = numbers.normal(3 * c.g.co), addend = numbers.integers(y_size(c.g), -4, 4);
    const auto plain = algorithm(c.by).make(c.g, ConvPass::forward, c.machine.isa, c.storage());
    const Result y = run_with(*plain, {inputs[0], inputs[1], inputs[2], z}, 1);
    for (const bool add : {false, true}) {
      for (const bool relu : {false, true}) {
        Values expected = values_of(y.bytes(3), storage);
        for (std::size_t i = 0; i < expected.size(); ++i) {
          const auto number = [&](std::size_t row) {
            return static_cast<float>(norm[row * channels + i % channels]);
          };
          float value = std::fma(static_cast<float>(expected[i]) - number(0), number(1), number(2));
          if (add) value += static_cast<float>(addend[i]);
          expected[i] = static_cast<double>(relu && value <= 0 ? 0.0F : value);
        }
        const auto fused = algorithm(c.by).make(c.g, ConvPass::forward, c.machine.isa, c.storage(),
                                                {.norm_epilogue = true, .add = add, .relu_epilogue = relu});
        std::vector<Operand> operands = inputs;
        operands.push_back(input(norm));
        if (add) operands.push_back(activations(addend, storage));
        operands.push_back(z);
        const Result result = run(*fused, operands);
        EXPECT_EQ(result.bytes(operands.size() - 1), activations(expected, storage).content)
            << fused->name() << (add ? " + addend" : "") << (relu ? ", ReLU" : "");
      }
    }
  });
}

TEST(ConvNorm, ForwardIsNormalizedInItsEpilogue) {
  Shapes shapes = winograd_shapes();
  shapes.resize(25);
  expect_normalized(shapes);
}
TEST(ConvNorm, DirectForwardIsNormalizedInItsEpilogue) {
  Shapes shapes = direct_shapes();
  shapes.resize(20);
  shapes.emplace_back(
      ConvGeometry{
          .n = 2, .ci = 12, .co = 150, .h = 9, .w = 7, .kh = 3, .kw = 3, .ph = 1, .pw = 1, .groups = 3},
      "direct");
  expect_normalized(shapes);
}
TEST(ConvNorm, GroupedForwardIsNormalizedInItsEpilogue) {
  expect_normalized(grouped_shapes());
}

TEST(ConvNorm, MomentsHoldWhereTheMeanIsAThousandDeviations) {
  for (const ConvMachine& machine : conv_machines()) {
    ConvGeometry g = {.n = 12, .ci = 16, .co = 32, .h = 12, .w = 12};
    g.kh = g.kw = 3;
    g.ph = g.pw = 1;
    Numbers numbers("large mean");
    const double deviation = std::sqrt(9.0 * static_cast<double>(g.ci));
    if (machine.storage == DType::bf16) continue;  // eight bits cannot tell a deviation from none there
    const auto kernel = algorithm("F(4x4)").make(g, ConvPass::forward, machine.isa, {}, {.moments = true});
    const Result result =
        run(*kernel, {input(numbers.normal(x_size(g))), input(numbers.normal(w_size(g))),
                      input(numbers.normal(g.co, 1000 * deviation)), output(y_size(g)), output(3 * g.co)});
    const Values y = values_of(result.bytes(3), DType::f32);
    expect_moments(result.get(4), y, static_cast<std::size_t>(g.co), 1e-6);
  }
}

// Bits of positive numbers, as a norm leaves them.
std::vector<std::uint8_t> signs_of(const Values& z) {
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(relu_mask_bytes(static_cast<Index>(z.size()))));
  for (std::size_t i = 0; i < z.size(); ++i)
    if (z[i] > 0) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | (1U << (i % 8)));
  return bits;
}

void expect_gated_and_summed(const Shapes& shapes) {
  for_cases(shapes, [](const Case& c, Numbers& numbers) {
    const auto storage = c.machine.storage;
    const auto channels = static_cast<std::size_t>(c.g.ci);
    const Operand dy = activations(numbers.normal(y_size(c.g)), storage),
                  addend = activations(numbers.normal(x_size(c.g)), storage),
                  w = input(numbers.normal(w_size(c.g)));
    const Values x = numbers.integers(x_size(c.g), -4, 4), norm = table(numbers, 3, c.g.ci);
    const Values z = normed(x, norm, true);
    for (const bool add : {false, true}) {
      const auto plain =
          algorithm(c.by).make(c.g, ConvPass::input_gradient, c.machine.isa, c.storage(), {.add = add});
      std::vector<Operand> operands = {dy, w};
      if (add) operands.push_back(addend);
      operands.push_back(activations_output(x_size(c.g), storage));
      Values expected = values_of(run_with(*plain, operands, 1).bytes(operands.size() - 1), storage);
      for (std::size_t i = 0; i < z.size(); ++i) expected[i] = z[i] > 0 ? expected[i] : 0.0;
      for (const bool by_signs : {false, true}) {
        using Sums = ConvFusion::Sums;
        const auto fused =
            algorithm(c.by).make(c.g, ConvPass::input_gradient, c.machine.isa, c.storage(),
                                 {.add = add, .sums = by_signs ? Sums::by_relu_mask : Sums::by_coefficients});
        operands = {dy, w};
        if (add) operands.push_back(addend);
        operands.push_back(activations(x, storage));
        operands.push_back(by_signs ? input(Values(norm.begin(), norm.begin() + c.g.ci)) : input(norm));
        if (by_signs) operands.push_back(input(signs_of(z)));
        const std::size_t dx = operands.size();
        operands.push_back(add && by_signs ? same_as(2) : activations_output(x_size(c.g), storage));
        operands.push_back(output(3 * c.g.ci));
        const Result result = run(*fused, operands);
        const Values actual = values_of(result.bytes(dx), storage);
        EXPECT_TRUE(equal(actual, expected)) << fused->name() << (add ? " + addend" : "");
        Values sums(3 * channels), bounds(3 * channels);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const std::size_t k = i % channels;
          const double centred = x[i] - norm[k];
          const double terms[] = {expected[i], expected[i] * centred, centred};
          for (std::size_t which = 0; which < 3; ++which) {
            sums[which * channels + k] += terms[which];
            bounds[which * channels + k] +=
                (kMoments + (which < 2 ? rounding(storage) : 0.0)) * std::abs(terms[which]);
          }
        }
        EXPECT_TRUE(close(result.get(dx + 1), sums, [&](std::size_t i) { return bounds[i]; }))
            << fused->name();
      }
    }
  });
}

TEST(ConvNorm, InputGradientIsGatedAndSummed) {
  expect_gated_and_summed(gradient_shapes());
}
TEST(ConvNorm, DirectInputGradientIsGatedAndSummed) {
  expect_gated_and_summed(direct_shapes());
}

TEST(ConvNorm, DirectForwardAccumulatesMoments) {
  for_cases(direct_shapes(), [](const Case& c, Numbers& numbers) {
    const auto storage = c.machine.storage;
    std::vector<Operand> operands = {activations(numbers.normal(x_size(c.g)), storage),
                                     input(numbers.normal(w_size(c.g))), input(numbers.normal(c.g.co)),
                                     activations_output(y_size(c.g), storage)};
    const Result expected =
        run_with(*algorithm("direct").make(c.g, ConvPass::forward, c.machine.isa, c.storage()), operands, 1);
    operands.push_back(output(3 * c.g.co));
    const auto fused =
        algorithm("direct").make(c.g, ConvPass::forward, c.machine.isa, c.storage(), {.moments = true});
    const Result result = run(*fused, operands);
    EXPECT_EQ(result.bytes(3), expected.bytes(3)) << fused->name();
    expect_moments(result.get(4), values_of(result.bytes(3), storage), static_cast<std::size_t>(c.g.co),
                   kMoments);
  });
}

TEST(ConvNorm, WeightGradientReadsThroughANormAndMakesDy) {
  for_cases(gradient_shapes(), [](const Case& c, Numbers& numbers) {
    const auto storage = c.machine.storage;
    const auto channels = static_cast<std::size_t>(c.g.co);
    const Values x = numbers.integers(x_size(c.g), -4, 4), norm = table(numbers, 3, c.g.ci),
                 dz = numbers.integers(y_size(c.g), -4, 4), norm_x = numbers.integers(y_size(c.g), -4, 4),
                 gradient = table(numbers, 4, c.g.co);
    Values dy(dz.size());
    for (std::size_t i = 0; i < dy.size(); ++i) {
      const std::size_t k = i % channels;
      dy[i] = dz[i] * gradient[channels + k] +
              ((norm_x[i] - gradient[k]) * gradient[2 * channels + k] + gradient[3 * channels + k]);
    }
    const auto plain = algorithm(c.by).make(c.g, ConvPass::weight_gradient, c.machine.isa, c.storage());
    const Result expected = run_with(
        *plain, {activations(normed(x, norm, true), storage), activations(dy, storage), output(w_size(c.g))},
        1);
    const auto fused = algorithm(c.by).make(c.g, ConvPass::weight_gradient, c.machine.isa, c.storage(),
                                            {.norm = true, .relu = true, .norm_gradient = true});
    const Operand places[] = {activations_output(y_size(c.g), storage), same_as(1), same_as(3)};
    for (const Operand& place : places) {
      const Result result =
          run(*fused, {activations(x, storage), activations(dz, storage), input(norm),
                       activations(norm_x, storage), input(gradient), output(w_size(c.g)), place});
      EXPECT_EQ(result.bytes(5), expected.bytes(2)) << fused->name();
      EXPECT_TRUE(equal(values_of(result.bytes(6), storage), dy)) << fused->name();
    }
  });
}

TEST(ConvNorm, IsRefusedWhereThePassDoesNotCarryIt) {
  ConvGeometry g = {.n = 2, .ci = 8, .co = 8, .h = 8, .w = 8};
  g.kh = g.kw = 3;
  EXPECT_THROW(algorithm("direct").make(g, ConvPass::forward, Isa::avx2, {}, {.norm = true}), ShapeError);
  EXPECT_THROW(algorithm("direct").make(g, ConvPass::weight_gradient, Isa::avx2, {}, {.norm_gradient = true}),
               ShapeError);
  ConvGeometry grouped = g;
  grouped.groups = 2;
  EXPECT_THROW(algorithm("direct").make(grouped, ConvPass::forward, Isa::avx2, {}, {.moments = true}),
               ShapeError);
  EXPECT_THROW(algorithm("F(3x3)").make(g, ConvPass::forward, Isa::avx2, {}, {.norm_gradient = true}),
               ShapeError);
  EXPECT_THROW(algorithm("F(3x3)").make(g, ConvPass::forward, Isa::avx2, {}, {.relu_epilogue = true}),
               ShapeError);
  EXPECT_THROW(
      algorithm("direct").make(g, ConvPass::forward, Isa::avx2, {}, {.moments = true, .norm_epilogue = true}),
      ShapeError);
  EXPECT_THROW(algorithm("F(3x3)").make(g, ConvPass::input_gradient, Isa::avx2, {}, {.norm_epilogue = true}),
               ShapeError);
  EXPECT_THROW(algorithm("F(3x3)").make(g, ConvPass::forward, Isa::avx2, {},
                                        {.sums = ConvFusion::Sums::by_coefficients}),
               ShapeError);
  EXPECT_THROW(algorithm("F(3x3)").make(g, ConvPass::input_gradient, Isa::avx2, {}, {.norm = true}),
               ShapeError);
  EXPECT_THROW(algorithm("F(3x3)").make(g, ConvPass::weight_gradient, Isa::avx2, {}, {.moments = true}),
               ShapeError);
}

}  // namespace
}  // namespace resnet::kernels

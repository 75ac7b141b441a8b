// Smooth activations, products, and joining channels, on every instruction set.
#include <gtest/gtest.h>

#include <string>

#include "kernel_test_support.h"
#include "kernels/elementwise/elementwise.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

constexpr Activation kKinds[] = {Activation::sigmoid, Activation::silu, Activation::gelu};

/// From the far negative side, where results become denormal, to the far positive one, and what is no number.
Values numbers_for(Index count) {
  Values x(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<double>(
        static_cast<float>(-13 + 26 * static_cast<double>(i) / static_cast<double>(count)));
  return x;
}

/// Each within so many roundings of the reference, more where an exponent of x^2 is rounded.
void expect_near(const std::vector<float>& actual, const Values& expected, const Values& x,
                 double scale = 1) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double tolerance =
        kRound * (8 + 2 * x[i] * x[i]) * (std::fabs(expected[i]) + 1e-3 * kRound) * scale;
    ASSERT_NEAR(static_cast<double>(actual[i]), expected[i], tolerance) << "x = " << x[i];
  }
}

TEST(Activations, AreTheReferenceWithinRoundings) {
  for (const Isa isa : isas()) {
    for (const Activation kind : kKinds) {
      for (const Index count : {1, 7, 16, 33, 4099, 50001}) {
        const Values x = numbers_for(count);
        Values expected(x.size());
        reference_activation(kind, view(x), target(expected));
        const auto kernel = make_activation(kind, count, isa);
        SCOPED_TRACE(std::string(kernel->name()) + " " + std::string(name_of(isa)));
        expect_near(run(*kernel, {input(x), output(count)}).get(1), expected, x);
        expect_near(run(*kernel, {input(x), same_as(0)}).get(0), expected, x);
      }
    }
  }
}

// A slope passes through zero (silu near -1.28, gelu near -0.75): there the error is one of its summands, at
// most one in size.
TEST(ActivationGradients, AreTheReferenceWithinRoundings) {
  for (const Isa isa : isas()) {
    for (const Activation kind : kKinds) {
      for (const Index count : {1, 33, 50001}) {
        const Values x = numbers_for(count), dy = Numbers("dy").normal(count);
        Values expected(x.size());
        reference_activation_gradient(kind, view(dy), view(x), target(expected));
        const auto kernel = make_activation_gradient(kind, count, isa);
        SCOPED_TRACE(std::string(kernel->name()) + " " + std::string(name_of(isa)));
        const std::vector<float> actual = run(*kernel, {input(dy), input(x), output(count)}).get(2);
        for (std::size_t i = 0; i < x.size(); ++i)
          ASSERT_NEAR(static_cast<double>(actual[i]), expected[i], 16 * kRound * std::fabs(dy[i])) << x[i];
        EXPECT_EQ(run(*kernel, {input(dy), input(x), same_as(0)}).get(0), actual) << "dx in dy";
        EXPECT_EQ(run(*kernel, {input(dy), input(x), same_as(1)}).get(1), actual) << "dx in x";
      }
    }
  }
}

TEST(Activations, KeepNanAndSaturate) {
  for (const Isa isa : isas()) {
    const Values x = {kNan, 0.0, 200, -200, kInf, 1e30, -1e30, 1};
    const auto get = [&](Activation kind) {
      return run(*make_activation(kind, 8, isa), {input(x), output(8)}).get(1);
    };
    for (const Activation kind : kKinds) {
      const std::vector<float> y = get(kind);
      EXPECT_TRUE(std::isnan(y[0]));
      EXPECT_EQ(y[1], kind == Activation::sigmoid ? 0.5F : 0.0F);
      EXPECT_EQ(y[2], kind == Activation::sigmoid ? 1.0F : 200.0F);
      EXPECT_NEAR(y[3], 0.0F, 1e-37F);
      EXPECT_EQ(y[4], kind == Activation::sigmoid ? 1.0F : std::numeric_limits<float>::infinity());
      EXPECT_NEAR(y[6], 0.0F, 1e-37F);
      const std::vector<float> dx =
          run(*make_activation_gradient(kind, 8, isa), {input(Values(8, 1.0)), input(x), output(8)}).get(2);
      EXPECT_TRUE(std::isnan(dx[0]));
      EXPECT_FALSE(std::isnan(dx[2]) || std::isnan(dx[3]) || std::isnan(dx[5]) || std::isnan(dx[6]));
    }
  }
}

TEST(Mul, EqualsReferenceRoundedOnce) {
  for (const Isa isa : isas()) {
    for (const Index count : {1, 7, 16, 33, 50001}) {
      Numbers numbers("mul");
      const Values a = numbers.normal(count), b = numbers.normal(count);
      Values expected(a.size());
      reference_mul(view(a), view(b), target(expected));
      for (double& v : expected) v = static_cast<double>(static_cast<float>(v));
      const auto kernel = make_mul(count, isa);
      EXPECT_TRUE(equal(run(*kernel, {input(a), input(b), output(count)}).get(2), expected));
      EXPECT_TRUE(equal(run(*kernel, {input(a), input(b), same_as(0)}).get(0), expected)) << "y in a";
    }
  }
}

/// [n][c][pixels] as [n][pixels][c], or the way back with c and pixels changed.
Values transposed(const Values& x, Index n, Index c, Index pixels) {
  Values y(x.size());
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < c; ++j) {
      for (Index p = 0; p < pixels; ++p)
        y[static_cast<std::size_t>((i * pixels + p) * c + j)] =
            x[static_cast<std::size_t>((i * c + j) * pixels + p)];
    }
  }
  return y;
}

struct Map {
  Index n, c, pixels;
};
std::vector<Map> maps() {
  std::vector<Map> result = {{1, 1, 1}, {2, 3, 7}, {3, 64, 49}, {2, 17, 1000}, {1, 130, 40}, {2, 1, 20'000}};
  Numbers numbers("gates");
  for (int i = 0; i < 10; ++i)
    result.push_back({numbers.between(1, 6), numbers.between(1, 150), numbers.between(1, 90)});
  return result;
}

TEST(MulGate, EqualsReferenceRoundedOnce) {
  for (const Isa isa : isas()) {
    for (const auto& [n, c, pixels] : maps()) {
      SCOPED_TRACE(to_string(Shape{n, c, pixels}));
      Numbers numbers("gate");
      const Values x = numbers.normal(n * c * pixels), gate = numbers.normal(n * c);
      Values expected(x.size());
      reference_mul(view(x, {n, c, pixels}), view(gate, {n, c}), target(expected));
      for (double& v : expected) v = static_cast<double>(static_cast<float>(v));
      const auto kernel = make_mul_gate(n, c, pixels, isa);
      const Values memory = transposed(x, n, c, pixels);
      expected = transposed(expected, n, c, pixels);
      EXPECT_TRUE(equal(run(*kernel, {input(memory), input(gate), output(n * c * pixels)}).get(2), expected));
      EXPECT_TRUE(equal(run(*kernel, {input(memory), input(gate), same_as(0)}).get(0), expected)) << "y in x";
    }
  }
}

TEST(MulGateGradient, IsTheReferenceWithinItsRoundings) {
  for (const Isa isa : isas()) {
    for (const auto& [n, c, pixels] : maps()) {
      SCOPED_TRACE(to_string(Shape{n, c, pixels}));
      Numbers numbers("gate gradient");
      const Values x = numbers.normal(n * c * pixels), dy = numbers.normal(n * c * pixels);
      Values expected(static_cast<std::size_t>(n * c));
      reference_mul_gate_gradient(view(dy, {n, c, pixels}), view(x, {n, c, pixels}),
                                  target(expected, {n, c}));
      const std::vector<float> actual =
          run(*make_mul_gate_gradient(n, c, pixels, isa),
              {input(transposed(dy, n, c, pixels)), input(transposed(x, n, c, pixels)), output(n * c)})
              .get(2);
      for (std::size_t g = 0; g < expected.size(); ++g) {
        double sizes = 0;
        for (std::size_t p = g * static_cast<std::size_t>(pixels);
             p < (g + 1) * static_cast<std::size_t>(pixels); ++p)
          sizes += std::fabs(dy[p] * x[p]);
        const auto terms = static_cast<double>(std::min<Index>(pixels, 32) + pixels / 32 + 1);
        ASSERT_NEAR(static_cast<double>(actual[g]), expected[g], terms * kRound * sizes) << "gate " << g;
      }
    }
  }
}

TEST(Concat, JoinsAndItsSlicesTakeApart) {
  for (const Isa isa : isas()) {
    for (const auto& [n, a, pixels] : maps()) {
      for (const Index b : {1, 5, 64}) {
        Numbers numbers("concat");
        const Values x = numbers.normal(n * a * pixels), y = numbers.normal(n * b * pixels);
        Values joined(x.size() + y.size());
        reference_concat(view(x, {n, a, pixels}), view(y, {n, b, pixels}),
                         target(joined, {n, a + b, pixels}));
        const Values expected = transposed(joined, n, a + b, pixels);
        const std::vector<float> actual =
            run(*make_concat(n * pixels, a, b, isa),
                {input(transposed(x, n, a, pixels)), input(transposed(y, n, b, pixels)),
                 output(n * (a + b) * pixels)})
                .get(2);
        ASSERT_TRUE(equal(actual, expected));
        const std::vector<float> back =
            run(*make_slice(n * pixels, a + b, a, b, isa), {input(expected), output(n * b * pixels)}).get(1);
        ASSERT_TRUE(equal(back, transposed(y, n, b, pixels)));
        Values part(y.size());
        reference_slice(view(joined, {n, a + b, pixels}), a, target(part, {n, b, pixels}));
        ASSERT_EQ(part, y);
      }
    }
  }
}

}  // namespace
}  // namespace resnet::kernels

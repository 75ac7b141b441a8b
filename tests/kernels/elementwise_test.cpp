#include "kernels/elementwise/elementwise.h"

#include <gtest/gtest.h>

#include <string>

#include "kernel_test_support.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

// Around vectors, unrolled vectors and chunks.
const std::vector<Index> kCounts = {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 16383, 16384, 16385, 50001};

/// Calls check(isa, count) for each pair, naming both in failures.
template <class Check>
void for_counts(const Check& check) {
  for (const Isa isa : isas()) {
    for (const Index count : kCounts) {
      SCOPED_TRACE(std::string(name_of(isa)) + ", " + std::to_string(count) + " elements");
      check(isa, count);
    }
  }
}

Values with_specials(Values values) {
  const Values specials = {0.0, -0.0, kNan, kInf, -kInf, 0x1p-149, -0x1p-149};
  for (std::size_t i = 0; i < specials.size() && 3 * i < values.size(); ++i) values[3 * i] = specials[i];
  return values;
}

TEST(Relu, EqualsReferenceAndKeepsNan) {
  for_counts([](Isa isa, Index count) {
    const Values x = with_specials(Numbers("relu").normal(count));
    Values expected(x.size());
    reference_relu(view(x), target(expected));
    const auto kernel = make_relu(count, isa);
    EXPECT_TRUE(equal(run(*kernel, {input(x), output(count)}).get(1), expected));
    EXPECT_TRUE(equal(run(*kernel, {input(x), same_as(0)}).get(0), expected)) << "in place";
  });
}

TEST(ReluGradient, EqualsReference) {
  for_counts([](Isa isa, Index count) {
    Numbers numbers("relu_gradient");
    const Values dy = numbers.normal(count);
    const Values y = with_specials(numbers.normal(count));
    Values expected(dy.size());
    reference_relu_gradient(view(dy), view(y), target(expected));
    const auto kernel = make_relu_gradient(count, isa);
    EXPECT_TRUE(equal(run(*kernel, {input(dy), input(y), output(count)}).get(2), expected));
    EXPECT_TRUE(equal(run(*kernel, {input(dy), input(y), same_as(0)}).get(0), expected)) << "dx in dy";
    EXPECT_TRUE(equal(run(*kernel, {input(dy), input(y), same_as(1)}).get(1), expected)) << "dx in y";
  });
}

TEST(Add, EqualsReferenceRoundedOnce) {
  for_counts([](Isa isa, Index count) {
    Numbers numbers("add");
    const Values a = with_specials(numbers.normal(count));
    const Values b = numbers.normal(count);
    Values expected(a.size());
    reference_add(view(a), view(b), target(expected));
    for (double& v : expected) v = static_cast<double>(static_cast<float>(v));
    const auto kernel = make_add(count, isa);
    EXPECT_TRUE(equal(run(*kernel, {input(a), input(b), output(count)}).get(2), expected));
    EXPECT_TRUE(equal(run(*kernel, {input(a), input(b), same_as(0)}).get(0), expected)) << "y in a";
    EXPECT_TRUE(equal(run(*kernel, {input(a), input(b), same_as(1)}).get(1), expected)) << "y in b";
  });
}

struct RowsAndChannels {
  Index n, c, pixels;
};
const std::vector<RowsAndChannels> kMaps = {
    {1, 1, 1},   {1, 64, 1},   {5, 1, 3},    {2, 3, 7},   {3, 7, 49},    {4, 10, 1},   {256, 10, 1},
    {2, 17, 30}, {6, 64, 144}, {2, 100, 81}, {3, 512, 9}, {40, 16, 400}, {5, 2047, 3}, {1, 1, 70000}};

template <class Check>
void for_maps(const Check& check) {
  std::vector<RowsAndChannels> maps = kMaps;
  Numbers numbers("maps");
  for (int i = 0; i < 10; ++i)
    maps.push_back({numbers.between(1, 9), numbers.between(1, 80), numbers.between(1, 90)});
  for (const Isa isa : isas()) {
    for (const auto& m : maps) {
      SCOPED_TRACE(std::string(name_of(isa)) + ", " + to_string(Shape{m.n, m.c, m.pixels}));
      check(isa, m);
    }
  }
}

TEST(ChannelSum, IsExactOnIntegers) {
  for_maps([](Isa isa, const RowsAndChannels& m) {
    const Values x = Numbers("channel_sum").integers(m.n * m.c * m.pixels, -8, 8);
    Values expected(static_cast<std::size_t>(m.c));
    reference_channel_sum(view(x, {m.n, m.c, m.pixels}), target(expected));
    const auto kernel = make_channel_sum(m.n * m.pixels, m.c, isa);
    EXPECT_TRUE(
        equal(run(*kernel, {input(transposed(x, m.n, m.c, m.pixels)), output(m.c)}).get(1), expected));
  });
}

TEST(ChannelSum, StaysWithinTheErrorOfItsChunks) {
  for_maps([](Isa isa, const RowsAndChannels& m) {
    const Values x = Numbers("channel_sum").normal(m.n * m.c * m.pixels, 1.0);
    Values expected(static_cast<std::size_t>(m.c));
    Values magnitudes(static_cast<std::size_t>(m.c));
    Values absolute = x;
    for (double& v : absolute) v = std::abs(v);
    reference_channel_sum(view(x, {m.n, m.c, m.pixels}), target(expected));
    reference_channel_sum(view(absolute, {m.n, m.c, m.pixels}), target(magnitudes));
    const auto kernel = make_channel_sum(m.n * m.pixels, m.c, isa);
    const auto sum = run(*kernel, {input(transposed(x, m.n, m.c, m.pixels)), output(m.c)}).get(1);
    const auto length = static_cast<double>(std::min<Index>(m.n * m.pixels, 64));  // f32 additions in a row
    EXPECT_TRUE(close(sum, expected, [&](std::size_t i) { return (length + 2) * kRound * magnitudes[i]; }));
  });
}

TEST(Flatten, MovesToThePublicOrderAndBack) {
  for_maps([](Isa isa, const RowsAndChannels& m) {
    const Index count = m.n * m.c * m.pixels;
    const Values outside = Numbers("flatten").normal(count);
    const Values inside = transposed(outside, m.n, m.c, m.pixels);
    const auto flatten = make_flatten(m.n, m.c, m.pixels, isa);
    EXPECT_TRUE(equal(run(*flatten, {input(inside), output(count)}).get(1), outside));
    const auto unflatten = make_unflatten(m.n, m.c, m.pixels, isa);
    EXPECT_TRUE(equal(run(*unflatten, {input(outside), output(count)}).get(1), inside));
  });
}

std::vector<std::int64_t> seed_step(std::int64_t step) {
  return {static_cast<std::int64_t>(seed()), step};
}

TEST(Dropout, EqualsReferenceInAnyLayout) {
  for_maps([](Isa isa, const RowsAndChannels& m) {
    for (const double p : {0.0, 0.1, 0.5}) {
      const Index count = m.n * m.c * m.pixels;
      const Values x = Numbers("dropout").normal(count);
      Values expected(x.size());
      reference_dropout(p, 7, seed_step(0)[0], 3, view(x), target(expected));
      const auto kernel = make_dropout(p, 7, m.n, m.c, m.pixels, isa);
      const Operand in = input(transposed(x, m.n, m.c, m.pixels));
      const auto y = run(*kernel, {in, input(seed_step(3)), output(count)}).get(2);
      const auto outside = transposed(y, m.n, m.pixels, m.c);
      EXPECT_TRUE(
          close(outside, expected, [&](std::size_t i) { return 3 * kRound * std::abs(expected[i]); }));
      EXPECT_EQ(run(*kernel, {in, input(seed_step(3)), same_as(0)}).get(0), y) << "in place";
    }
  });
}

TEST(DropPath, KeepsOrDropsWholeExamplesAsTheReference) {
  const Index n = 37;
  for (const Isa isa : isas()) {
    for (const Index elements : {Index{1}, Index{77}, Index{40'000}}) {
      Values x = Numbers("drop_path").normal(n * elements);
      x[0] = kNan;
      Values expected(x.size());
      reference_drop_path(0.4, 7, seed_step(0)[0], 3, {x.data(), {n, elements}},
                          {expected.data(), {n, elements}});
      const auto kernel = make_drop_path(0.4, 7, n, elements, isa);
      const auto y = run(*kernel, {input(x), input(seed_step(3)), output(n * elements)}).get(2);
      EXPECT_TRUE(std::isnan(y[0])) << "what is not finite stays, also where it is dropped";
      Index kept = 0;
      for (Index i = 0; i < n; ++i) {
        const auto first = static_cast<std::size_t>(i * elements);
        const std::size_t skip = i == 0 ? 1 : 0;
        const bool zero = expected[first + elements - 1] == 0;
        kept += zero ? 0 : 1;
        for (std::size_t j = first + skip; j < first + static_cast<std::size_t>(elements); ++j) {
          ASSERT_NEAR(y[j], expected[j], 3 * kRound * std::abs(expected[j])) << i;
          ASSERT_EQ(y[j] == 0, zero) << "an example is dropped as one";
        }
      }
      if (elements > 1) EXPECT_GT(kept, n / 3);
      if (elements > 1) EXPECT_LT(kept, n);
      EXPECT_TRUE(std::isnan(run(*kernel, {input(x), input(seed_step(3)), same_as(0)}).get(0)[0]))
          << "in place";
    }
  }
}

TEST(Dropout, KeepsItsShareAndDependsOnSeedLayerAndStep) {
  const Index count = 100000;
  const Values ones(static_cast<std::size_t>(count), 1.0);
  const auto draw = [&](std::uint64_t layer, std::int64_t s, std::int64_t step) {
    Values y(ones.size());
    reference_dropout(0.3, layer, s, step, view(ones), target(y));
    return y;
  };
  const Values first = draw(1, 1, 1);
  const auto kept =
      static_cast<double>(std::count_if(first.begin(), first.end(), [](double v) { return v != 0; }));
  EXPECT_NEAR(kept / 1e5, 0.7, 5 * std::sqrt(0.3 * 0.7 / 1e5));
  for (const Values& other : {draw(2, 1, 1), draw(1, 2, 1), draw(1, 1, 2)}) {
    Index same = 0;
    for (std::size_t i = 0; i < first.size(); ++i) same += first[i] == other[i] ? 1 : 0;
    EXPECT_NEAR(static_cast<double>(same) / 1e5, 0.7 * 0.7 + 0.3 * 0.3, 0.01);  // independent draws
  }
}

}  // namespace
}  // namespace resnet::kernels

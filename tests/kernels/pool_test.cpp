#include "kernels/pool/pool.h"

#include <gtest/gtest.h>

#include <string>

#include "pool_case.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

std::string text(const PoolGeometry& g) {
  const auto pair = [](Index a, Index b) { return std::to_string(a) + "x" + std::to_string(b); };
  return "n" + std::to_string(g.n) + " c" + std::to_string(g.c) + " map " + pair(g.h, g.w) + " kernel " +
         pair(g.kh, g.kw) + " stride " + pair(g.sh, g.sw) + " padding " + pair(g.ph, g.pw) +
         (g.count_padding ? "" : " inside only") + (g.ceil_mode ? " rounded up" : "");
}

/// Calls check(isa, geometry) for the pools of residual networks, awkward ones and random ones.
template <class Check>
void for_geometries(const Check& check) {
  std::vector<PoolGeometry> all = {
      {.n = 3, .c = 64, .h = 48, .w = 48, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
      {.n = 2, .c = 3, .h = 9, .w = 8, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
      {.n = 2, .c = 10, .h = 8, .w = 8, .kh = 2, .kw = 2, .sh = 2, .sw = 2},
      {.n = 1, .c = 1, .h = 1, .w = 1},
      {.n = 2, .c = 7, .h = 5, .w = 1, .kh = 2, .kw = 1},
      {.n = 2, .c = 17, .h = 7, .w = 11, .kh = 2, .kw = 3, .sh = 3, .sw = 5},  // pixels that no window covers
      {.n = 1, .c = 33, .h = 20, .w = 19, .kh = 17, .kw = 17, .sh = 1, .sw = 1, .ph = 8, .pw = 7},  // 17x17
      {.n = 1, .c = 9, .h = 16, .w = 16, .kh = 16, .kw = 16},  // 256 taps
      {.n = 9, .c = 512, .h = 3, .w = 3, .kh = 3, .kw = 3},
      {.n = 5, .c = 10, .h = 7, .w = 7, .kh = 7, .kw = 7},
      {.n = 2, .c = 2047, .h = 4, .w = 4, .kh = 4, .kw = 4},
      {.n = 2,
       .c = 24,
       .h = 7,
       .w = 5,
       .kh = 2,
       .kw = 2,
       .sh = 2,
       .sw = 2,
       .count_padding = false,
       .ceil_mode = true},
      {.n = 2, .c = 9, .h = 1, .w = 1, .kh = 2, .kw = 2, .sh = 2, .sw = 2, .ceil_mode = true}};
  Numbers numbers("pool shapes");
  for (int i = 0; i < 25; ++i) {
    PoolGeometry g =
        random_pool(numbers, 1, {.n = 3, .c = 70, .h = 14, .w = 14, .kh = 5, .kw = 5, .sh = 4, .sw = 4});
    g.count_padding = numbers.below(2) == 0;
    all.push_back(g);
  }
  for (const Isa isa : isas()) {
    for (const PoolGeometry& g : all) {
      SCOPED_TRACE(std::string(name_of(isa)) + ", " + text(g));
      check(isa, g);
    }
  }
}

Index inputs(const PoolGeometry& g) {
  return g.n * g.c * g.h * g.w;
}
Index outputs(const PoolGeometry& g) {
  return g.n * g.c * g.ho() * g.wo();
}
Values zeros(Index count) {
  return Values(static_cast<std::size_t>(count));
}
/// Of the larger map to and from memory.
template <class T>
std::vector<T> to_memory(const PoolGeometry& g, const std::vector<T>& x, bool large) {
  return transposed(x, g.n, g.c, large ? g.h * g.w : g.ho() * g.wo());
}
template <class T>
std::vector<T> from_memory(const PoolGeometry& g, const std::vector<T>& x, bool large) {
  return transposed(x, g.n, large ? g.h * g.w : g.ho() * g.wo(), g.c);
}

template <class T>
void expect_max_pool(Isa isa, const PoolGeometry& g, const Values& x) {
  Values y = zeros(outputs(g));
  Values index = zeros(outputs(g));
  reference_max_pool(g, view(x), target(y), target(index));
  const auto kernel = make_max_pool(g, isa);
  const Operand in = input(to_memory(g, x, true));
  const Result result = run(*kernel, {in, output(outputs(g)), output<T>(outputs(g))});
  EXPECT_TRUE(equal(from_memory(g, result.get(1), false), y)) << "y";
  EXPECT_TRUE(equal(from_memory(g, result.get<T>(2), false), index)) << "index";
  EXPECT_EQ(run(*kernel, {in, output(outputs(g)), absent()}).bytes(1), result.bytes(1)) << "without an index";
}

template <class T>
void expect_max_pool_gradient(Isa isa, const PoolGeometry& g) {
  Numbers numbers("max_pool_gradient");
  const Values x = numbers.integers(inputs(g), -3, 3);
  const Values dy = numbers.integers(outputs(g), -9, 9);
  Values y = zeros(outputs(g));
  Values index = zeros(outputs(g));
  Values dx = zeros(inputs(g));
  reference_max_pool(g, view(x), target(y), target(index));
  reference_max_pool_gradient(g, view(dy), view(index), target(dx));
  const auto kernel = make_max_pool_gradient(g, isa);
  const Result result = run(*kernel, {input(to_memory(g, dy, false)),
                                      input(rounded<T>(to_memory(g, index, false))), output(inputs(g))});
  EXPECT_TRUE(equal(from_memory(g, result.get(2), true), dx));
}

bool bytes_suffice(const PoolGeometry& g) {
  return max_pool_index_dtype(g) == DType::u8;
}

TEST(MaxPool, FirstOfEqualPixelsWins) {
  for_geometries([](Isa isa, const PoolGeometry& g) {
    const Values x = Numbers("max_pool").integers(inputs(g), -3, 3);
    bytes_suffice(g) ? expect_max_pool<std::uint8_t>(isa, g, x) : expect_max_pool<std::int32_t>(isa, g, x);
  });
}

TEST(MaxPool, NanWinsOverNumbersAndInfinitiesCompare) {
  for_geometries([](Isa isa, const PoolGeometry& g) {
    Numbers numbers("max_pool_nan");
    Values x = numbers.normal(inputs(g));
    for (double& v : x) {
      const Index kind = numbers.below(12);
      if (kind < 3) v = kind == 0 ? kNan : kind == 1 ? kInf : -kInf;
    }
    bytes_suffice(g) ? expect_max_pool<std::uint8_t>(isa, g, x) : expect_max_pool<std::int32_t>(isa, g, x);
  });
}

TEST(MaxPool, WindowOfMinusInfinityPointsInsideTheMap) {
  for_geometries([](Isa isa, const PoolGeometry& g) {
    const Values x(static_cast<std::size_t>(inputs(g)), -kInf);
    bytes_suffice(g) ? expect_max_pool<std::uint8_t>(isa, g, x) : expect_max_pool<std::int32_t>(isa, g, x);
  });
}

TEST(MaxPoolGradient, IsExactOnIntegers) {
  for_geometries([](Isa isa, const PoolGeometry& g) {
    bytes_suffice(g) ? expect_max_pool_gradient<std::uint8_t>(isa, g)
                     : expect_max_pool_gradient<std::int32_t>(isa, g);
  });
}

TEST(AvgPool, StaysWithinTheErrorOfItsSums) {
  for_geometries([](Isa isa, const PoolGeometry& g) {
    const Values x = Numbers("avg_pool").normal(inputs(g), 1);
    Values absolute = x;
    for (double& v : absolute) v = std::abs(v);
    Values y = zeros(outputs(g));
    Values magnitudes = zeros(outputs(g));
    reference_avg_pool(g, view(x), target(y));
    reference_avg_pool(g, view(absolute), target(magnitudes));
    const Result result = run(*make_avg_pool(g, isa), {input(to_memory(g, x, true)), output(outputs(g))});
    const auto additions =
        static_cast<double>(g.kh * g.kw / 8 + 8 * g.kh + 8);  // eight pixels at once, row by row
    EXPECT_TRUE(close(from_memory(g, result.get(1), false), y,
                      [&](std::size_t i) { return additions * kRound * magnitudes[i]; }));
  });
}

TEST(AvgPoolGradient, StaysWithinTheErrorOfItsSums) {
  for_geometries([](Isa isa, const PoolGeometry& g) {
    const Values dy = Numbers("avg_pool_gradient").normal(outputs(g), 1);
    Values absolute = dy;
    for (double& v : absolute) v = std::abs(v);
    Values dx = zeros(inputs(g));
    Values magnitudes = zeros(inputs(g));
    reference_avg_pool_gradient(g, view(dy), target(dx));
    reference_avg_pool_gradient(g, view(absolute), target(magnitudes));
    const Result result =
        run(*make_avg_pool_gradient(g, isa), {input(to_memory(g, dy, false)), output(inputs(g))});
    const Index covering = ((g.kh + g.sh - 1) / g.sh) * ((g.kw + g.sw - 1) / g.sw);
    const auto roundings = static_cast<double>(covering + 2);
    EXPECT_TRUE(close(from_memory(g, result.get(1), true), dx,
                      [&](std::size_t i) { return roundings * kRound * magnitudes[i]; }));
  });
}

const PoolGeometry kSmall = {
    .n = 2, .c = 2, .h = 5, .w = 6, .kh = 3, .kw = 2, .sh = 2, .sw = 1, .ph = 1, .pw = 1};

// torch.nn.AvgPool2d(3, 2, padding, ceil_mode=True)(torch.ones(1, 1, n, n))[0, 0, -1] for n of 4, 5, 6.
TEST(AvgPool, RoundsUpAndDividesAsPyTorch) {
  const auto last_row = [](Index size, Index padding, bool count_padding) {
    const PoolGeometry g = {.h = size,
                            .w = size,
                            .kh = 3,
                            .kw = 3,
                            .sh = 2,
                            .sw = 2,
                            .ph = padding,
                            .pw = padding,
                            .count_padding = count_padding,
                            .ceil_mode = true};
    Values y = zeros(outputs(g));
    reference_avg_pool(g, view(Values(static_cast<std::size_t>(inputs(g)), 1.0)), target(y));
    return Values(y.end() - static_cast<std::ptrdiff_t>(g.wo()), y.end());
  };
  using testing::close;
  const auto same = [](const Values& a, const Values& b) {
    return a.size() == b.size() && close(a, b, 1e-15);
  };
  EXPECT_TRUE(same(last_row(4, 0, true), {1, 1}));
  EXPECT_TRUE(same(last_row(4, 1, true), {1.0 / 3, 0.5, 0.25}));
  EXPECT_TRUE(same(last_row(4, 1, false), {1, 1, 1}));
  EXPECT_TRUE(same(last_row(5, 1, true), {4.0 / 9, 2.0 / 3, 4.0 / 9}));
  EXPECT_TRUE(same(last_row(6, 1, true), {1.0 / 3, 0.5, 0.5, 0.25}));
}

TEST(AvgPoolGradient, ReferenceMatchesFiniteDifferences) {
  for (const auto& [count_padding, ceil_mode] :
       {std::pair(true, false), std::pair(false, false), std::pair(true, true), std::pair(false, true)}) {
    PoolGeometry g = kSmall;
    g.count_padding = count_padding;
    g.ceil_mode = ceil_mode;
    if (ceil_mode) g.h = 6;
    Values x = Numbers("x").normal(inputs(g));
    const Values dy = Numbers("dy").normal(outputs(g));
    Values dx = zeros(inputs(g));
    reference_avg_pool_gradient(g, view(dy), target(dx));
    EXPECT_TRUE(close(dx,
                      differences(x,
                                  [&] {
                                    Values y = zeros(outputs(g));
                                    reference_avg_pool(g, view(x), target(y));
                                    return dot(y, dy);
                                  }),
                      1e-9));
  }
}

TEST(MaxPoolGradient, ReferenceMatchesFiniteDifferencesAwayFromTies) {
  const PoolGeometry& g = kSmall;
  Values x = Numbers("x").normal(inputs(g));
  const Values dy = Numbers("dy").normal(outputs(g));
  Values y = zeros(outputs(g));
  Values index = zeros(outputs(g));
  Values dx = zeros(inputs(g));
  reference_max_pool(g, view(x), target(y), target(index));
  reference_max_pool_gradient(g, view(dy), view(index), target(dx));
  EXPECT_TRUE(close(dx,
                    differences(x,
                                [&] {
                                  reference_max_pool(g, view(x), target(y), {});
                                  return dot(y, dy);
                                }),
                    1e-9));
}

}  // namespace
}  // namespace resnet::kernels

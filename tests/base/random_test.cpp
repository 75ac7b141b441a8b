#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

namespace resnet {
namespace {

using Block = std::array<std::uint32_t, 4>;

// Source: the known answers that accompany Salmon et al., SC 2011 (Random123, philox4x32 10 rounds).
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// Source: the published FNV-1a test vectors.
TEST(StreamId, IsFnv1a) {
  EXPECT_EQ(stream_id(""), 0xcbf29ce484222325ULL);
  EXPECT_EQ(stream_id("a"), 0xaf63dc4c8601ec8cULL);
  EXPECT_EQ(stream_id("foobar"), 0x85944171f73967e8ULL);
}

TEST(RandomStream, WordsAreThePhiloxBlocksOfTheirStream) {
  const std::uint64_t seed = 0x0123456789abcdefULL;
  const std::uint64_t stream = 0xfedcba9876543210ULL;
  const RandomStream random(seed, stream);
  for (const std::uint64_t block : {std::uint64_t{0}, std::uint64_t{5}, std::uint64_t{1} << 40U}) {
    const Block expected = philox4x32(
        {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32U), 0x76543210, 0xfedcba98},
        {0x89abcdef, 0x01234567});
    for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(random.word(4 * block + i), expected[i]);
  }
}

TEST(RandomStream, DependsOnSeedNameAndIndex) {
  const RandomStream a(1, "weights");
  EXPECT_EQ(a.word(7), RandomStream(1, "weights").word(7));
  EXPECT_NE(a.word(7), RandomStream(2, "weights").word(7));
  EXPECT_NE(a.word(7), RandomStream(1, "biases").word(7));
  EXPECT_NE(a.word(7), RandomStream((std::uint64_t{1} << 32U) + 1, "weights").word(7)) << "all 64 bits count";
}

// n draws of mean m and deviation s: their average is within 5 s / sqrt(n) but once in a million.
TEST(RandomStream, UniformHasTheMomentsOfItsRange) {
  const RandomStream random(3, "uniform");
  constexpr int kDraws = 100000;
  double sum = 0;
  double squares = 0;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const float u = random.uniform(i);
    ASSERT_GE(u, 0.0F);
    ASSERT_LT(u, 1.0F);
    sum += static_cast<double>(u);
    squares += static_cast<double>(u) * static_cast<double>(u);
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kDraws));
}

TEST(RandomStream, NormalHasTheMomentsOfItsDistribution) {
  const RandomStream random(3, "normal");
  constexpr int kDraws = 100000;
  std::array<double, 4> moments{};
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const double z = random.normal(i);
    ASSERT_TRUE(std::isfinite(z));
    double power = 1;
    for (double& moment : moments) moment += (power *= z) / kDraws;
  }
  const auto tolerance = [](double variance) { return 5 * std::sqrt(variance / kDraws); };
  EXPECT_NEAR(moments[0], 0, tolerance(1));
  EXPECT_NEAR(moments[1], 1, tolerance(2));
  EXPECT_NEAR(moments[2], 0, tolerance(15));
  EXPECT_NEAR(moments[3], 3, tolerance(96));
}

TEST(RandomStream, BelowStaysBelowAndReachesEverything) {
  const RandomStream random(9, "below");
  for (const std::uint64_t bound : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{7},
                                    std::uint64_t{60000}, std::numeric_limits<std::uint64_t>::max()}) {
    for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_LT(random.below(i, bound), bound);
  }
  std::vector<int> counts(7);
  constexpr int kDraws = 70000;
  for (std::uint64_t i = 0; i < kDraws; ++i) ++counts[random.below(i, 7)];
  double chi2 = 0;
  for (const int count : counts) chi2 += (count - 10000.0) * (count - 10000.0) / 10000.0;
  EXPECT_LT(chi2, 33.1) << "chi square of 6 degrees of freedom exceeds 33.1 once in 100,000";
}

}  // namespace
}  // namespace resnet

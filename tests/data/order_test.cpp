// Balanced orders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "resnet/data.h"

namespace resnet::data {
namespace {

using testing::ElementsAre;

// 90 of class 0, 10 of class 2, 1 of class 5.
std::vector<std::int32_t> skewed() {
  std::vector<std::int32_t> labels(90, 0);
  labels.insert(labels.end(), 10, 2);
  labels.push_back(5);
  return labels;
}

TEST(BalancedOrder, HasAsManyExamplesOfEachClass) {
  const std::vector<std::int32_t> labels = skewed();
  std::map<std::int32_t, int> sums;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::map<std::int32_t, int> counts;
    std::map<std::int64_t, int> uses;
    for (const std::int64_t i : Order::balanced(1, labels).indices(101, epoch)) {
      ++counts[labels.at(static_cast<std::size_t>(i))];
      ++uses[i];
    }
    for (const auto& [label, count] : counts) {
      EXPECT_TRUE(count == 33 || count == 34) << label;
      sums[label] += count;
    }
    for (std::int64_t i = 90; i < 100; ++i) EXPECT_TRUE(uses[i] == 3 || uses[i] == 4) << "equally often";
    for (std::int64_t i = 0; i < 90; ++i) EXPECT_LE(uses[i], 1);
  }
  EXPECT_THAT(sums, ElementsAre(std::pair(0, 101), std::pair(2, 101), std::pair(5, 101)))
      << "the remainder goes round";
}

// 33 or 34 of 90 in an epoch: in three epochs all of them have come, and in the next three otherwise.
TEST(BalancedOrder, ShowsEveryExampleOfAFrequentClass) {
  const std::vector<std::int32_t> labels = skewed();
  std::vector<std::set<std::int64_t>> shown;
  for (std::int64_t epoch = 0; epoch < 9; ++epoch) {
    if (epoch % 3 == 0) shown.emplace_back();
    for (const std::int64_t i : Order::balanced(1, labels).indices(101, epoch))
      if (i < 90) shown.back().insert(i);
    if (epoch % 3 == 2) EXPECT_EQ(shown.back().size(), 90U) << epoch;
  }
  const auto first_of = [&](std::int64_t epoch) {
    std::set<std::int64_t> of;
    for (const std::int64_t i : Order::balanced(1, labels).indices(101, epoch))
      if (i < 90) of.insert(i);
    return of;
  };
  for (const std::int64_t other : {1, 2, 3, 6}) EXPECT_NE(first_of(0), first_of(other)) << other;
}

TEST(BalancedOrder, DependsOnSeedAndEpochAlone) {
  const auto order = [](std::uint64_t seed, std::int64_t epoch) {
    return Order::balanced(seed, skewed()).indices(101, epoch);
  };
  EXPECT_EQ(order(1, 2), order(1, 2));
  EXPECT_NE(order(1, 2), order(1, 3));
  EXPECT_NE(order(1, 2), order(2, 2));
  EXPECT_THROW(Order::balanced(1, skewed()).indices(100, 0), ConfigError);
}

TEST(BalancedOrder, OfBalancedDataVisitsEveryExampleOnce) {
  std::vector<std::int64_t> order = Order::balanced(3, {0, 1, 0, 1, 2, 2}).indices(6, 0);
  std::sort(order.begin(), order.end());
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5));
}

}  // namespace
}  // namespace resnet::data

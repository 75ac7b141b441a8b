#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "resnet/data.h"

namespace resnet {
namespace {

// Images of one pixel whose value tells their number.
class Numbers final : public data::Dataset::Source {
 public:
  explicit Numbers(std::int64_t size, std::int64_t bad = -1) : size_(size), bad_(bad) {}
  std::int64_t size() const override { return size_; }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i); }
  void image(std::int64_t i, data::Image& out) const override {
    if (i == bad_) throw FormatError("image " + std::to_string(i) + " is damaged");
    out = {1, 1, 1, {static_cast<std::uint8_t>(i % 256)}};
  }

 private:
  std::int64_t size_, bad_;
};

data::Dataset numbers(std::int64_t size, std::int64_t bad = -1) {
  return {std::make_shared<Numbers>(size, bad), "numbers", {"x"}, {{}, 1}, Shape{1, 1, 1}, 0};
}

std::vector<std::int32_t> read(data::Loader& loader, std::vector<std::int64_t>* sizes = nullptr) {
  std::vector<std::int32_t> labels;
  while (const data::Batch* batch = loader.next()) {
    if (sizes != nullptr) sizes->push_back(batch->size());
    const auto view = batch->labels.view<std::int32_t>().span();
    for (std::size_t i = 0; i < view.size(); ++i) {
      EXPECT_EQ(batch->images.values()[i], static_cast<float>(view[i] % 256) / 255.0F);
      labels.push_back(view[i]);
    }
  }
  return labels;
}

TEST(Loader, GivesEveryExampleOnceInOrderForAnyNumberOfThreads) {
  const std::vector<std::int64_t> order = data::shuffled(1000, 7, 0);
  for (int threads = 1; threads <= 4; ++threads) {
    data::Loader loader(numbers(1000), {.batch_size = 64, .prefetch = 3, .threads = threads});
    EXPECT_EQ(loader.batches(), 16);
    for (int epoch = 0; epoch < 3; ++epoch) {
      loader.start(order);
      std::vector<std::int64_t> sizes;
      const std::vector<std::int32_t> labels = read(loader, &sizes);
      EXPECT_TRUE(std::equal(labels.begin(), labels.end(), order.begin(), order.end()));
      EXPECT_EQ(sizes.back(), 1000 % 64);  // the short batch is kept
    }
  }
}

TEST(Loader, CanBeginAgainAndEndInTheMiddleOfAnEpoch) {
  for (int i = 0; i < 50; ++i) {
    data::Loader loader(numbers(500), {.batch_size = 8, .prefetch = 4, .threads = 2});
    loader.start();
    for (int j = 0; j < i % 7; ++j) ASSERT_NE(loader.next(), nullptr);
    if (i % 2 == 0) {
      loader.start();
      std::vector<std::int32_t> expected(500);
      std::iota(expected.begin(), expected.end(), 0);
      EXPECT_EQ(read(loader), expected);
    }
  }
}

TEST(Loader, HandsAnErrorToTheReader) {
  data::Loader loader(numbers(100, 50), {.batch_size = 10, .prefetch = 2, .threads = 2});
  loader.start();
  EXPECT_THROW(read(loader), FormatError);
}

TEST(Shuffle, IsAPermutationThatDependsOnSeedAndEpochAlone) {
  const std::vector<std::int64_t> order = data::shuffled(1000, 1, 2);
  EXPECT_EQ(std::set<std::int64_t>(order.begin(), order.end()).size(), 1000U);
  EXPECT_EQ(order, data::shuffled(1000, 1, 2));
  EXPECT_NE(order, data::shuffled(1000, 1, 3));
  EXPECT_NE(order, data::shuffled(1000, 2, 2));
}

}  // namespace
}  // namespace resnet

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <set>

#include "base/sha256.h"
#include "resnet/data.h"
#include "support/in_child.h"
#include "support/message_of.h"

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
  for (int threads = 1; threads <= 4; ++threads) {
    data::Loader loader(numbers(1000), {.batch_size = 64, .prefetch = 3, .threads = threads});
    EXPECT_EQ(loader.batches(), 16);
    for (int epoch = 0; epoch < 3; ++epoch) {
      const std::vector<std::int64_t> order = data::Order::shuffled(7).indices(1000, epoch);
      loader.start(data::Order::shuffled(7), epoch);
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

TEST(Loader, HandsAnErrorToTheReaderBehindTheBatchesBeforeIt) {
  for (int threads = 1; threads <= 3; ++threads) {
    for (int i = 0; i < 20; ++i) {
      data::Loader loader(numbers(100, 55), {.batch_size = 10, .prefetch = 4, .threads = threads});
      for (int epoch = 0; epoch < 2; ++epoch) {
        loader.start();
        for (int batch = 0; batch < 5; ++batch) ASSERT_NE(loader.next(), nullptr);
        for (int again = 0; again < 2; ++again) {
          try {
            loader.next();
            ADD_FAILURE() << "the damaged image was delivered";
          } catch (const FormatError& error) {
            EXPECT_STREQ(error.what(), "image 55 is damaged");
          }
        }
      }
      std::vector<std::int64_t> healthy(50);
      std::iota(healthy.begin(), healthy.end(), 0);
      loader.start(healthy);
      EXPECT_EQ(read(loader).size(), 50U);
    }
  }
}

TEST(Loader, ReadsAnyListOfExamples) {
  data::Loader loader(numbers(10), {.batch_size = 4});
  EXPECT_EQ(loader.batches(), 3);
  loader.start({9, 0, 9, 5, 5});
  EXPECT_EQ(read(loader), (std::vector<std::int32_t>{9, 0, 9, 5, 5}));
  EXPECT_EQ(loader.next(), nullptr);
  EXPECT_THROW(loader.start({0, 10}), ConfigError);
  EXPECT_THROW(loader.start({-1}), ConfigError);
  loader.start(std::vector<std::int64_t>{});
  EXPECT_EQ(loader.next(), nullptr);
}

TEST(Loader, GivesNothingBeforeAnEpochBeginsAndOfAnEmptyDataSet) {
  data::Loader idle(numbers(10));
  EXPECT_EQ(idle.next(), nullptr);
  data::Loader empty(numbers(0));
  EXPECT_EQ(empty.batches(), 0);
  empty.start();
  EXPECT_EQ(empty.next(), nullptr);
}

TEST(Loader, ReusesItsBuffersFromEpochToEpoch) {
  const data::LoaderOptions options{.batch_size = 8, .prefetch = 3, .threads = 2};
  data::Loader loader(numbers(100), options);
  std::set<const std::byte*> buffers;
  for (int epoch = 0; epoch < 6; ++epoch) {
    loader.start();
    while (const data::Batch* batch = loader.next()) {
      buffers.insert(batch->images.raw());
      buffers.insert(batch->labels.raw());
    }
  }
  // Images and labels of prefetch + 1 batches and of the short one.
  EXPECT_EQ(buffers.size(), 2U * (3 + 1 + 1));
}

TEST(Loader, RefusesOptionsOutOfRange) {
  EXPECT_THROW(data::Loader(numbers(3), {.batch_size = 0}), ConfigError);
  EXPECT_THROW(data::Loader(numbers(3), {.prefetch = -1}), ConfigError);
  EXPECT_THROW(data::Loader(numbers(3), {.threads = 0}), ConfigError);
}

TEST(Loader, RefusesAnImageOfAnotherSizeThanTheExamplesOf) {
  const data::Dataset set = {std::make_shared<Numbers>(4), "numbers", {"x"}, {{}, 1}, Shape{1, 2, 1}, 0};
  for (const data::Augmentation& augment : {data::Augmentation{}, {data::Flip{}}, {data::PaddingCrop{}}}) {
    data::Loader loader(set, {.augment = augment});
    loader.start();
    EXPECT_THROW(loader.next(), ShapeError) << data::to_json(augment);
  }
}

TEST(Loader, ResizesTheRealDataSetAsOneImageAtATime) {
  const data::Dataset test = data::fashion_mnist(data::Split::test, {.resize = 96, .limit = 300});
  data::Loader loader(test, {.batch_size = 128, .threads = 3});
  loader.start();
  std::int64_t index = 0;
  std::vector<float> expected(96 * 96);
  while (const data::Batch* batch = loader.next()) {
    for (std::int64_t i = 0; i < batch->size(); ++i, ++index) {
      data::preprocess(test.preprocessing(), test.image(index), expected);
      const float* got = batch->images.values().data() + i * 96 * 96;
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), got)) << index;
      ASSERT_EQ(batch->labels.view<std::int32_t>()[i], test.label(index));
    }
  }
  EXPECT_EQ(index, 300);
}

// RGB images of 2x3 pixels, byte k of image i being 18 i + k.
class Rgb final : public data::Dataset::Source {
 public:
  std::int64_t size() const override { return 5; }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i); }
  void image(std::int64_t i, data::Image& out) const override {
    out = {2, 3, 3, std::vector<std::uint8_t>(18)};
    std::iota(out.pixels.begin(), out.pixels.end(), static_cast<std::uint8_t>(18 * i));
  }
};

TEST(Loader, DeliversTheSameElementsInEitherLayout) {
  const data::Dataset rgb{std::make_shared<Rgb>(), "rgb", {"x"}, {{}, 3}, Shape{3, 2, 3}, 0};
  for (const ImageLayout layout : {ImageLayout::nchw, ImageLayout::nhwc}) {
    data::Loader loader(rgb, {.batch_size = 2, .layout = layout});
    loader.start();
    std::int64_t seen = 0;
    while (const data::Batch* batch = loader.next()) {
      const std::int64_t count = batch->size();
      const bool planar = layout == ImageLayout::nchw;
      EXPECT_EQ(batch->images.shape(), (planar ? Shape{count, 3, 2, 3} : Shape{count, 2, 3, 3}));
      const ImageView images = batch->view();
      EXPECT_EQ(images.shape, (Shape{count, 3, 2, 3}));
      EXPECT_EQ(images.layout, layout);
      EXPECT_EQ(images.data, batch->images.values().data());
      for (std::int64_t n = 0; n < count; ++n) {
        for (std::int64_t c = 0; c < 3; ++c) {
          for (std::int64_t i = 0; i < 6; ++i) {
            const std::int64_t at = planar ? (n * 3 + c) * 6 + i : (n * 6 + i) * 3 + c;
            ASSERT_EQ(images.data[at], static_cast<float>(18 * (seen + n) + 3 * i + c) / 255.0F);
          }
        }
      }
      seen += count;
    }
    EXPECT_EQ(seen, 5);
  }
}

std::string digest(const std::vector<std::int64_t>& order) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(order)));  // little-endian, as every machine that we support
  return hash.hex();
}

TEST(SequentialOrder, IsAsStoredInEveryEpoch) {
  for (const std::int64_t epoch : {0, 1, 7}) {
    EXPECT_EQ(data::Order::sequential().indices(4, epoch), (std::vector<std::int64_t>{0, 1, 2, 3}));
  }
}

TEST(Shuffle, IsAPermutationThatDependsOnSeedAndEpochAlone) {
  for (const std::int64_t size : {0, 1, 2, 1000}) {
    std::vector<std::int64_t> sorted = data::Order::shuffled(1).indices(size, 2);
    std::sort(sorted.begin(), sorted.end());
    std::vector<std::int64_t> expected(static_cast<std::size_t>(size));
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(sorted, expected);
  }
  const std::vector<std::int64_t> order = data::Order::shuffled(1).indices(1000, 2);
  EXPECT_EQ(order, data::Order::shuffled(1).indices(1000, 2));
  EXPECT_NE(order, data::Order::shuffled(1).indices(1000, 3));
  EXPECT_NE(order, data::Order::shuffled(2).indices(1000, 2));
}

// The same on every machine and in every version: a run is repeated years later.
TEST(Shuffle, IsPinned) {
  EXPECT_EQ(data::Order::shuffled(0).indices(10, 0),
            (std::vector<std::int64_t>{3, 1, 7, 5, 9, 4, 8, 0, 2, 6}));
  EXPECT_EQ(digest(data::Order::shuffled(0).indices(60000, 0)),
            "ecd36c3ccc26933839b8a9c62849dc265d4a96ab71c0fbbec7570adf3994d4ee");
  EXPECT_EQ(digest(data::Order::shuffled(42).indices(60000, 9)),
            "d79303077aacb705df0377df4b703cc8d558b868dfe7f075df7ae2148486f699");
}

// Each of the 24 orders of four things comes equally often: chi-square with 23 degrees of freedom
// exceeds 58.6 once in 16,000 times, and the counts are the same in every run.
TEST(Shuffle, PrefersNoOrder) {
  std::map<std::vector<std::int64_t>, int> counts;
  constexpr int kRounds = 24'000;
  for (int epoch = 0; epoch < kRounds; ++epoch) counts[data::Order::shuffled(3).indices(4, epoch)] += 1;
  EXPECT_EQ(counts.size(), 24U);
  constexpr double kExpected = kRounds / 24.0;
  double chi_square = 0;
  for (const auto& [order, count] : counts)
    chi_square += (count - kExpected) * (count - kExpected) / kExpected;
  EXPECT_LT(chi_square, 58.6);
}

TEST(Loader, OfAParentThrowsInAChildAndEnds) {
  auto loader =
      std::make_unique<data::Loader>(numbers(100), data::LoaderOptions{.batch_size = 8, .threads = 2});
  loader->start();
  EXPECT_NE(loader->next(), nullptr);
  const auto refused = [](const auto& call) {
    return test::message_of<Error>(call).find("was forked from") != std::string::npos;
  };
  EXPECT_EQ(test::in_child([&] {
              const bool both = refused([&] { loader->next(); }) && refused([&] { loader->start(); });
              loader.reset();
              return both;
            }),
            test::Child::held);
  EXPECT_NE(loader->next(), nullptr) << "the parent reads on";
}

}  // namespace
}  // namespace resnet

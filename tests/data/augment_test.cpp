// Augmentation as data, and in the loader.
#include "resnet/augment.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>

#include "base/random.h"
#include "base/sha256.h"
#include "resnet/data.h"
#include "support/message_of.h"

namespace resnet::data {
namespace {

// Pictures of noise, of many sizes.
class Noise final : public Dataset::Source {
 public:
  std::int64_t size() const override { return 50; }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i % 7); }
  void image(std::int64_t i, Image& out) const override {
    out.height = 9 + i % 5;
    out.width = 10 + i % 3;
    out.channels = 3;
    const RandomStream stream(1, static_cast<std::uint64_t>(i));
    out.pixels.clear();
    for (std::int64_t k = 0; k < out.height * out.width * 3; ++k) {
      out.pixels.push_back(static_cast<std::uint8_t>(stream.word(static_cast<std::uint64_t>(k)) & 255U));
    }
  }
};

Dataset noise() {
  return {std::make_shared<Noise>(), "noise", std::vector<std::string>(7, "x"),
          Preprocessing{
              .resize = Resize(12, 12), .channels = 3, .crop = {10, 8}, .normalization = {{0.5}, {0.25}}},
          Shape{3, 10, 8}};
}

// Every transform there is; one of the two crops.
Augmentation everything(const Transform& crop) {
  return {crop,
          Flip{},
          AlternatingFlip{},
          ColorJitter{0.4, 0.4, 0.4, 0.1},
          Rotation{},
          RandAugment{},
          TrivialAugment{true},
          RandomErasing{},
          Cutout{3},
          MixUp{},
          CutMix{}};
}

// Of all that a loader delivers in two epochs.
std::string delivered(const LoaderOptions& options) {
  Sha256 hash;
  Loader loader(noise(), options);
  for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
    loader.start(Order::shuffled(9), epoch);
    while (const Batch* batch = loader.next()) {
      hash.update(std::as_bytes(batch->images.values()));
      hash.update(std::as_bytes(batch->labels.view<std::int32_t>().span()));
      hash.update(std::as_bytes(batch->mixed_labels.view<std::int32_t>().span()));
      hash.update(std::as_bytes(batch->mix.values()));
    }
  }
  return hash.hex();
}

TEST(Augmentation, HasTheSameBitsForAnyNumberOfLoaderThreads) {
  for (const Transform& crop : {Transform(RandomResizedCrop{}), Transform(PaddingCrop{.reflect = true})}) {
    for (const ImageLayout layout : {ImageLayout::nchw, ImageLayout::nhwc}) {
      LoaderOptions options{.batch_size = 8, .layout = layout, .augment = everything(crop), .seed = 3};
      const std::string one = delivered(options);
      for (options.threads = 2; options.threads <= 4; ++options.threads) EXPECT_EQ(delivered(options), one);
      options.threads = 2;
      options.seed = 4;
      EXPECT_NE(delivered(options), one);
    }
  }
}

// The pictures of an epoch, by example.
std::map<std::int64_t, std::vector<float>> pictures(const Augmentation& augment, std::int64_t epoch,
                                                    const Order& order, std::int64_t batch_size) {
  Loader loader(noise(), {.batch_size = batch_size, .threads = 2, .augment = augment, .seed = 3});
  const std::vector<std::int64_t> indices = order.indices(50, epoch);
  loader.start(order, epoch);
  std::map<std::int64_t, std::vector<float>> result;
  std::size_t next = 0;
  while (const Batch* batch = loader.next()) {
    const std::size_t size = 3 * 10 * 8;
    for (std::int64_t i = 0; i < batch->size(); ++i) {
      const auto begin = batch->images.values().begin() + i * static_cast<std::int64_t>(size);
      result[indices[next++]] = {begin, begin + size};
    }
  }
  return result;
}

TEST(Augmentation, OfAnExampleDependsNeitherOnTheOrderNorOnTheBatch) {
  Augmentation list = everything(RandomResizedCrop{});
  list.resize(list.size() - 2);  // what mixes batches
  EXPECT_EQ(pictures(list, 4, Order::shuffled(1), 8), pictures(list, 4, Order::sequential(), 50));
  EXPECT_NE(pictures(list, 4, Order::sequential(), 8), pictures(list, 5, Order::sequential(), 8));
}

TEST(Augmentation, AlternatingFlipShowsBothSidesInTwoEpochs) {
  const auto plain = pictures({}, 0, Order::sequential(), 8);
  const auto even = pictures({AlternatingFlip{}}, 0, Order::sequential(), 8);
  const auto odd = pictures({AlternatingFlip{}}, 1, Order::sequential(), 8);
  EXPECT_EQ(even, pictures({AlternatingFlip{}}, 2, Order::sequential(), 8));
  int flipped = 0;
  for (const auto& [index, picture] : plain) {
    EXPECT_NE(even.at(index), odd.at(index));
    EXPECT_TRUE(even.at(index) == picture || odd.at(index) == picture);
    flipped += even.at(index) != picture ? 1 : 0;
  }
  EXPECT_GT(flipped, 10);
  EXPECT_LT(flipped, 40);
}

// What each transform makes of an example that an epoch shows three times.
TEST(Augmentation, ShowsAnExampleAnewEachTimeItComesInAnEpoch) {
  const auto shown = [](const Augmentation& augment, std::vector<std::int64_t> indices) {
    Loader loader(noise(), {.batch_size = 2, .augment = augment, .seed = 3});
    loader.start(std::move(indices));
    std::vector<std::vector<float>> result;
    while (const Batch* batch = loader.next()) {
      const auto values = batch->images.values();
      for (std::size_t i = 0; i < values.size(); i += 240)
        result.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(i),
                            values.begin() + static_cast<std::ptrdiff_t>(i + 240));
    }
    return result;
  };
  for (const Transform& transform :
       {Transform(RandomResizedCrop{}), Transform(PaddingCrop{.padding = 8}),
        Transform(ColorJitter{0.4, 0.4, 0.4, 0.1}), Transform(Rotation{}), Transform(RandAugment{}),
        Transform(TrivialAugment{}), Transform(RandomErasing{1}), Transform(Cutout{3})}) {
    const auto pictures = shown({transform}, {7, 7, 4, 7});
    EXPECT_NE(pictures[0], pictures[1]) << transform.index();
    EXPECT_NE(pictures[0], pictures[3]) << transform.index();
    EXPECT_NE(pictures[1], pictures[3]) << transform.index();
    EXPECT_EQ(pictures[0], shown({transform}, {7})[0]) << "the first time as ever";
  }
  const auto by_chance = shown({Flip{}}, {7, 7, 7, 7, 7, 7, 7, 7, 7, 7});
  EXPECT_EQ(std::set(by_chance.begin(), by_chance.end()).size(), 2U);
  const auto flipped = shown({AlternatingFlip{}}, {7, 7, 4, 7});
  EXPECT_NE(flipped[0], flipped[1]);
  EXPECT_EQ(flipped[0], flipped[3]);
}

TEST(Augmentation, MixesWhatTheBatchSays) {
  Loader loader(noise(), {.batch_size = 8, .augment = {MixUp{}}, .seed = 3});
  const auto plain = pictures({}, 0, Order::sequential(), 8);
  loader.start();
  std::int64_t first = 0;
  std::set<float> weights;
  while (const Batch* batch = loader.next()) {
    const auto mixed = batch->mixed_labels.view<std::int32_t>();
    for (std::int64_t i = 0; i < batch->size(); ++i) {
      const std::int64_t other = first + (i + batch->size() - 1) % batch->size();
      EXPECT_EQ(mixed[i], other % 7);
      const float weight = batch->mix.values()[static_cast<std::size_t>(i)];
      weights.insert(weight);
      const float expected = plain.at(first + i)[5] * weight + plain.at(other)[5] * (1 - weight);
      EXPECT_NEAR(batch->images.values()[static_cast<std::size_t>(i * 240 + 5)], expected, 1e-5F);
    }
    first += batch->size();
  }
  EXPECT_EQ(weights.size(), 7U);  // one for each batch
}

TEST(Augmentation, WithoutMixingABatchHasOneLabelAnExample) {
  Loader loader(noise(), {.augment = {Flip{}}});
  loader.start();
  EXPECT_TRUE(loader.next()->mixed_labels.empty());
  EXPECT_TRUE(loader.next() == nullptr);
}

TEST(Augmentation, IsTextAndBack) {
  for (const Transform& crop : {Transform(RandomResizedCrop{}), Transform(PaddingCrop{2, true})}) {
    const std::string text = to_json(everything(crop));
    EXPECT_EQ(to_json(augmentation_from_json(text)), text);
  }
  EXPECT_EQ(to_json({PaddingCrop{}, Flip{0.25}}),
            R"({"version":1,"transforms":[{"name":"padding_crop","padding":4,"reflect":0},)"
            R"({"name":"flip","probability":0.25}]})");
  EXPECT_EQ(to_json({Rotation{}, Rotation{30, true}, TrivialAugment{}}),
            R"({"version":1,"transforms":[{"name":"rotation","degrees":15.0},)"
            R"({"name":"rotation","degrees":30.0,"bilinear":1},{"name":"trivial_augment"}]})")
      << "as before where it is as before";
  for (const char* bad : {"",
                          "[]",
                          "{}",
                          R"({"version":2,"transforms":[]})",
                          R"({"version":1,"transforms":[{}]})",
                          R"({"version":1,"transforms":[{"name":"flop"}]})",
                          R"({"version":1,"transforms":[{"name":"flip","p":1}]})",
                          R"({"version":1,"transforms":[{"name":"flip","probability":2}]})",
                          R"({"version":1,"transforms":[{"name":"flip","probability":"1"}]})",
                          R"({"version":1,"transforms":[{"name":"flip","probability":null}]})",
                          R"({"version":1,"transforms":[{"name":"cutout","side":1.5}]})",
                          R"({"version":1,"transforms":[{"name":"cutout","side":99999999999}]})",
                          R"({"version":1,"transforms":[{"name":"cutout","side":4294967297}]})",
                          R"({"version":1,"transforms":[{"name":"cutout","side":18446744073709551615}]})",
                          R"({"version":1,"transforms":[{"name":7}]})",
                          R"({"version":1,"transforms":[7]})",
                          R"({"version":1,"transforms":{}})",
                          R"({"version":"1","transforms":[]})",
                          R"({"version":1,"transforms":[],"more":0})",
                          R"({"version":1})",
                          R"({"transforms":[]})",
                          R"({"version":1,"transforms":[{"name":"flip"},{"name":"padding_crop"}]})"}) {
    EXPECT_THROW(augmentation_from_json(bad), FormatError) << bad;
  }
}

TEST(Augmentation, ReflectsNoMoreThanThereIs) {
  for (const std::int64_t padding : {11, 12}) {  // of 12x12 pixels
    Loader loader(noise(), {.augment = {PaddingCrop{.padding = padding, .reflect = true}}});
    loader.start();
    if (padding == 11) {
      EXPECT_NO_THROW(loader.next());
    } else {
      EXPECT_THROW(loader.next(), ShapeError);
    }
  }
}

TEST(Augmentation, RefusesWhatHasNoMeaning) {
  EXPECT_THROW(check(Augmentation(33, Flip{})), ConfigError);
  EXPECT_NO_THROW(check(Augmentation(32, Flip{})));
  for (const Augmentation& bad : {Augmentation{Flip{-0.1}},
                                  {Flip{std::numeric_limits<double>::quiet_NaN()}},
                                  {Flip{}, RandomResizedCrop{}},
                                  {RandomResizedCrop{}, PaddingCrop{}},
                                  {Cutout{}, Flip{}},
                                  {MixUp{}, Cutout{}},
                                  {MixUp{}, MixUp{}},
                                  {MixUp{}, CutMix{}, MixUp{}},
                                  {Cutout{0}},
                                  {MixUp{0}},
                                  {RandAugment{9, 9}},
                                  {RandAugment{2, 31}},
                                  {ColorJitter{.hue = 0.6}},
                                  {RandomErasing{.least_area = 0.5, .most_area = 0.4}}}) {
    EXPECT_THROW(check(bad), ConfigError) << to_json(bad);
    EXPECT_THROW(Loader(noise(), {.augment = bad}), ConfigError);
  }
}

}  // namespace
}  // namespace resnet::data

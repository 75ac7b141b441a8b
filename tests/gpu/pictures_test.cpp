// Pictures that a device holds become the network's input that the loader makes of them, bit for bit.
#include "gpu/pictures.h"

#include <gtest/gtest.h>

#include <cstring>

#include "data/placed.h"
#include "gpu/held_case.h"

namespace resnet {
namespace {

using data::Preprocessing;

struct PicturesCase {
  std::string name;
  Shape stored;  // [C,H,W]
  Preprocessing preprocessing = {};
  data::Augmentation augment = {};
};
void PrintTo(const PicturesCase& c, std::ostream* out) {
  *out << c.name;
}

class Pictures : public ::testing::TestWithParam<PicturesCase> {};

device::PictureRecord record_of(const data::Placed& p) {
  const auto small = [](std::int64_t v) { return static_cast<std::int32_t>(v); };
  return {.example = small(p.example),
          .label = p.label,
          .top = small(p.cut.top),
          .left = small(p.cut.left),
          .mirrored = p.mirrored ? 1 : 0,
          .zero_top = small(p.zeros.top),
          .zero_left = small(p.zeros.left),
          .zero_height = small(p.zeros.height),
          .zero_width = small(p.zeros.width)};
}

// Two epochs of a balanced order, in which examples come again, with a short batch at the end.
TEST_P(Pictures, AreTheLoadersBits) {
  const PicturesCase& c = GetParam();
  const data::Dataset set = test::bytes_of(11, c.stored, c.preprocessing);
  const data::LoaderOptions options{
      .batch_size = 4, .layout = ImageLayout::nhwc, .augment = c.augment, .seed = 5};
  const data::Order order = data::Order::balanced(3, {0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2});
  gpu::Device device(test::tested_device());
  const auto held = gpu::HeldPictures::make(device, set, 1 << 20);
  ASSERT_NE(held, nullptr);
  const data::Augmenter augmenter(c.augment, options.seed, set.example_shape());
  ASSERT_TRUE(augmenter.only_places());
  data::Loader loader(set, options);
  data::PlacedLoader places(set, options, held->resized_height(), held->resized_width());

  const std::int64_t most = options.batch_size * set.example_shape().elements();
  const gpu::Memory images(device, most * 4), labels(device, options.batch_size * 4), given(device, 4096);
  for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
    loader.start(order, epoch);
    places.start(order, epoch, 0);
    while (const data::Batch* batch = loader.next()) {
      std::vector<device::PictureRecord> records;
      for (const data::Placed& placed : places.next()) records.push_back(record_of(placed));
      ASSERT_EQ(std::ssize(records), batch->size());
      device.copy(given.data(), records.data(), std::ssize(records) * std::int64_t{sizeof records[0]});
      held->write(device, reinterpret_cast<const device::PictureRecord*>(given.data()), std::ssize(records),
                  augmenter.border(), reinterpret_cast<float*>(images.data()),
                  reinterpret_cast<std::int32_t*>(labels.data()));
      Tensor got(batch->images.shape());
      std::vector<std::int32_t> got_labels(records.size());
      device.copy(got.raw(), images.data(), static_cast<std::int64_t>(got.bytes()));
      device.copy(got_labels.data(), labels.data(), std::ssize(records) * 4);
      device.synchronize();
      EXPECT_EQ(std::memcmp(got.raw(), batch->images.raw(), got.bytes()), 0);
      EXPECT_EQ(std::memcmp(got_labels.data(), batch->labels.raw(), got_labels.size() * 4), 0);
    }
    EXPECT_TRUE(places.next().empty());
  }
}

const Preprocessing kNormalised{
    .resize = {30, 20}, .channels = 3, .crop = {17, 23}, .normalization = {{0.4, 0.5, 0.6}, {0.2, 0.3, 0.4}}};

INSTANTIATE_TEST_SUITE_P(
    Emulated, Pictures,
    ::testing::Values(
        PicturesCase{"fashion", {1, 28, 28}, {.resize = 96}},
        PicturesCase{"colour", {3, 32, 32}, {.resize = {24, 40}, .channels = 3}},
        PicturesCase{"smaller_and_wider", {1, 28, 28}, {.resize = {20, 96}}},
        PicturesCase{"only_higher", {1, 9, 12}, {.resize = {31, 12}}},
        PicturesCase{"only_narrower", {1, 9, 12}, {.resize = {9, 5}}},
        PicturesCase{
            "bicubic", {3, 15, 13}, {.resize = {40, 7}, .channels = 3, .filter = images::Filter::bicubic}},
        PicturesCase{"as_it_is", {3, 8, 6}, {.channels = 3}},  //
        PicturesCase{"gray_of_colour", {3, 8, 6}, {.resize = {12, 9}, .channels = 1}},
        PicturesCase{"colour_of_gray", {1, 8, 6}, {.resize = {5, 9}, .channels = 3}},
        PicturesCase{"cut_and_normalised", {3, 28, 28}, kNormalised},
        PicturesCase{"zeros_around", {3, 8, 8}, {.channels = 3, .crop = {14, 11}}},
        PicturesCase{"in_bands", {3, 9, 9}, {.resize = 64, .channels = 3}},
        PicturesCase{"airbench",
                     {3, 12, 12},
                     {.channels = 3},
                     {data::PaddingCrop{2, true}, data::AlternatingFlip{}, data::Cutout{5}}},
        PicturesCase{
            "padded", {3, 28, 28}, kNormalised, {data::PaddingCrop{6}, data::Flip{}, data::Flip{0.3}}},
        PicturesCase{"erased", {1, 10, 10}, {.resize = {20, 14}}, {data::Flip{}, data::RandomErasing{0.9}}}),
    [](const auto& tested) { return tested.param.name; });

TEST(HeldPictures, AreNotThoseThatHaveToBeDecodedThatDifferOrThatDoNotFit) {
  gpu::Device device(test::tested_device());
  const data::Dataset set = test::bytes_of(10, {1, 16, 16}, {.resize = 20});
  EXPECT_NE(gpu::HeldPictures::make(device, set, 10 * 256 + 4096), nullptr);
  EXPECT_EQ(gpu::HeldPictures::make(device, set, 10 * 256), nullptr) << "no room for the tables";
  EXPECT_EQ(gpu::HeldPictures::make(device, test::decoded(set), 1 << 20), nullptr);
  class OfTwoSizes final : public data::Dataset::Source {
    std::int64_t size() const override { return 2; }
    std::int32_t label(std::int64_t) const override { return 0; }
    void image(std::int64_t i, data::Image& out) const override {
      out = {4, 4 + i, 1, std::vector<std::uint8_t>(static_cast<std::size_t>(4 * (4 + i)))};
    }
    bool in_memory() const override { return true; }
  };
  const data::Dataset two(std::make_shared<OfTwoSizes>(), "two", {"a"}, {.resize = {4, 4}}, Shape{1, 4, 4});
  EXPECT_EQ(gpu::HeldPictures::make(device, two, 1 << 20), nullptr);
  // A row of the resized picture is made of all that a block's memory cannot take.
  const data::Dataset tall = test::bytes_of(1, {1, 4000, 8}, {.resize = {1, 600}});
  EXPECT_EQ(gpu::HeldPictures::make(device, tall, 1 << 20), nullptr);
}

TEST(Augmenter, OnlyPlacesWhatChangesNoValue) {
  const auto only_places = [](const data::Augmentation& list) {
    return data::Augmenter(list, 0, {3, 8, 8}).only_places();
  };
  EXPECT_TRUE(only_places({}));
  EXPECT_TRUE(only_places({data::PaddingCrop{}, data::Flip{}, data::Cutout{}}));
  for (const data::Augmentation& list : {data::Augmentation{data::RandomResizedCrop{}},
                                         {data::ColorJitter{0.1}},
                                         {data::Rotation{}},
                                         {data::RandAugment{}},
                                         {data::TrivialAugment{}},
                                         {data::MixUp{}},
                                         {data::CutMix{}},
                                         {data::RandomErasing{}, data::Cutout{}}})
    EXPECT_FALSE(only_places(list)) << to_json(list);
}

}  // namespace
}  // namespace resnet

// The sheet shows what a loader delivers, with the normalisation undone.
#include "data/contact_sheet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <numeric>

#include "data/survey.h"
#include "images/resample.h"
#include "images/text.h"

namespace resnet::data {
namespace {

using testing::ElementsAre;

constexpr std::int64_t kSide = 20;

// Pictures with a slope, one a class, brighter from class to class.
class Slopes final : public Dataset::Source {
 public:
  explicit Slopes(std::vector<std::int32_t> labels) : labels_(std::move(labels)) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  std::int32_t label(std::int64_t i) const override { return labels_[static_cast<std::size_t>(i)]; }
  void image(std::int64_t i, Image& out) const override {
    out = {kSide, kSide, 3, {}};
    for (std::int64_t k = 0; k < kSide * kSide * 3; ++k)
      out.pixels.push_back(static_cast<std::uint8_t>((k + 40 * i) % 256));
  }

 private:
  std::vector<std::int32_t> labels_;
};

Dataset slopes(std::vector<std::int32_t> labels, std::vector<std::string> classes = {"cat", "dog"}) {
  return {std::make_shared<Slopes>(std::move(labels)), "slopes", std::move(classes),
          Preprocessing{.channels = 3, .normalization = {{0.2, 0.4, 0.6}, {0.1, 0.2, 0.3}}},
          Shape{3, kSide, kSide}};
}

// The picture with this corner.
Image at(const Image& sheet, std::int64_t top, std::int64_t left) {
  Image picture{kSide, kSide, 3, {}};
  for (std::int64_t y = 0; y < kSide; ++y) {
    const auto from = sheet.pixels.begin() + ((top + y) * sheet.width + left) * 3;
    picture.pixels.insert(picture.pixels.end(), from, from + kSide * 3);
  }
  return picture;
}

// How pictures follow each other: 2 pixels between them, 4 more between examples, a line of text above each
// row.
constexpr std::int64_t kTop = 2 + images::kTextHeight, kRow = images::kTextHeight + kSide + 4;
std::int64_t left_of(std::int64_t example, std::int64_t version, std::int64_t versions) {
  return 2 + example * (versions * (kSide + 2) + 4) + version * (kSide + 2);
}

TEST(ContactSheet, HasARowOfPicturesForEachClassUnderItsName) {
  const Dataset set = slopes({1, 0, 1, 1, 0});
  const Image sheet = contact_sheet(set, {.columns = 2});
  EXPECT_EQ(sheet.height, 2 * kRow + 2);
  EXPECT_EQ(sheet.width, left_of(2, 0, 1) - 4);
  const std::vector<std::vector<std::int64_t>> rows = {{1, 4}, {0, 2}};
  for (std::int64_t row = 0; row < 2; ++row) {
    for (std::int64_t k = 0; k < 2; ++k) {
      const std::int64_t example = rows[static_cast<std::size_t>(row)][static_cast<std::size_t>(k)];
      EXPECT_EQ(at(sheet, kTop + row * kRow, left_of(k, 0, 1)).pixels, set.image(example).pixels)
          << "normalised and back, example " << example;
    }
    Image line{images::kTextHeight, sheet.width, 3, {}};
    line.pixels.assign(static_cast<std::size_t>(line.height * line.width * 3), 255);
    images::draw_text(line, 0, 2, row == 0 ? "cat" : "dog");
    const auto from = sheet.pixels.begin() + (row * kRow + 2) * sheet.width * 3;
    EXPECT_TRUE(std::equal(line.pixels.begin(), line.pixels.end(), from)) << row;
  }
}

TEST(ContactSheet, ShowsWhatALoaderDeliversInTheFirstEpochs) {
  const Dataset set = slopes({0, 1, 0});
  const Augmentation augment = {PaddingCrop{}, Flip{}, Rotation{.bilinear = true}, RandomErasing{1}, MixUp{}};
  const Image sheet = contact_sheet(set, {.augment = augment, .seed = 7});
  Loader loader(set, {.augment = augment, .seed = 7});
  EXPECT_EQ(at(sheet, kTop, left_of(1, 0, 4)).pixels, set.image(2).pixels) << "first without";
  std::vector<std::vector<std::uint8_t>> seen;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    loader.start(Order::sequential(), epoch);
    const Batch* batch = loader.next();
    const View<const float> values = batch->images.view<float>();
    for (std::int64_t i = 0; i < 3; ++i) {
      const Image shown = at(sheet, kTop + (i == 1 ? kRow : 0), left_of(i == 2 ? 1 : 0, 1 + epoch, 4));
      seen.push_back(shown.pixels);
      for (std::int64_t k = 0; k < kSide * kSide; ++k) {
        for (std::int64_t c = 0; c < 3; ++c) {
          const double mean = 0.2 + 0.2 * static_cast<double>(c), deviation = mean / 2;
          const double value =
              255 * (static_cast<double>(values.data[(i * 3 + c) * kSide * kSide + k]) * deviation + mean);
          ASSERT_NEAR(shown.pixels[static_cast<std::size_t>(3 * k + c)], std::clamp(value, 0.0, 255.0), 0.501)
              << "epoch " << epoch << ", example " << i << ", pixel " << k;
        }
      }
    }
  }
  for (std::size_t i = 1; i < seen.size(); ++i) EXPECT_NE(seen[0], seen[i]);
}

TEST(ContactSheet, CallsAClassInAnotherScriptByItsPlace) {
  const Image named = contact_sheet(slopes({0, 1}, {"cat", "class 1"}));
  EXPECT_EQ(contact_sheet(slopes({0, 1}, {"cat", "\u732b"})).pixels, named.pixels);
}

TEST(ContactSheet, HasAsManyClassesAsItHasRoomFor) {
  std::vector<std::int32_t> labels(3000);
  std::iota(labels.begin(), labels.end(), 0);
  const Image sheet = contact_sheet(slopes(labels, std::vector<std::string>(3000, "x")), {.columns = 100});
  EXPECT_LE(sheet.height * sheet.width, 1 << 24);
  EXPECT_GT(sheet.height * sheet.width, 1 << 23);
}

TEST(ContactSheet, IsNoHigherThanAPictureMayBe) {
  std::vector<std::int32_t> labels(10000);
  std::iota(labels.begin(), labels.end(), 0);
  const Image sheet = contact_sheet(slopes(labels, std::vector<std::string>(10000, "x")), {.columns = 1});
  EXPECT_LE(sheet.height, images::kMostPixels);
  EXPECT_GT(sheet.height, images::kMostPixels - 100);
  EXPECT_NO_THROW(images::encode_png(sheet));
}

// One row of pixels, as wide as it is told.
class Stripes final : public Dataset::Source {
 public:
  explicit Stripes(std::int64_t width) : width_(width) {}
  std::int64_t size() const override { return 20; }
  std::int32_t label(std::int64_t) const override { return 0; }
  void image(std::int64_t, Image& out) const override {
    out = {1, width_, 1, std::vector<std::uint8_t>(static_cast<std::size_t>(width_), 7)};
  }

 private:
  std::int64_t width_;
};

TEST(ContactSheet, IsNoWiderThanAPictureMayBe) {
  for (const std::int64_t width : {5000, 20000, 40000}) {
    const Dataset stripes(std::make_shared<Stripes>(width), "stripes", {"x"}, {}, Shape{1, 1, width});
    for (const bool changed : {false, true}) {
      const Image sheet =
          contact_sheet(stripes, {.augment = changed ? Augmentation{Flip{}} : Augmentation{}});
      EXPECT_LE(sheet.width, images::kMostPixels);
      EXPECT_GE(sheet.width, images::kMostPixels / 2);
      EXPECT_NO_THROW(images::encode_png(sheet));
    }
  }
}

TEST(Survey, NamesTheClassesWithoutExamples) {
  EXPECT_THAT(classes_without_examples(slopes({0, 2, 0}, {"a", "b", "c", "d"})), ElementsAre("b", "d"));
  EXPECT_THAT(classes_without_examples(slopes({0, 1})), ElementsAre());
  EXPECT_THAT(classes_without_examples(slopes({0, 1}).first(1)), ElementsAre("dog")) << "beyond the limit";
}

}  // namespace
}  // namespace resnet::data

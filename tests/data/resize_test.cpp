// Resizing equals Pillow's BILINEAR, byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "base/sha256.h"
#include "images/resample.h"
#include "resnet/data.h"
#include "support/paths.h"

namespace resnet {
namespace {

std::string sha256(const std::vector<std::uint8_t>& bytes) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(bytes)));
  return hash.hex();
}

struct Case {
  data::Image image;
  std::int64_t height = 0, width = 0;  // of the result
  std::string result_sha256;
};

std::vector<Case> golden_cases(const char* file) {
  std::ifstream in(test::golden_folder() / file);
  const nlohmann::json golden = nlohmann::json::parse(in);
  std::vector<Case> cases;
  for (const auto& c : golden.at("cases")) {
    const auto height = c.at("in").at(0).get<std::int64_t>();
    const auto width = c.at("in").at(1).get<std::int64_t>();
    data::Image image{height, width, c.at("channels").get<std::int64_t>(), {}};
    const RandomStream stream(golden.at("seed").get<std::uint64_t>(),
                              "resize/" + std::to_string(height) + "x" + std::to_string(width));
    for (std::int64_t i = 0; i < height * width * image.channels; ++i) {
      image.pixels.push_back(static_cast<std::uint8_t>(stream.word(static_cast<std::uint64_t>(i)) & 255U));
    }
    cases.push_back({std::move(image), c.at("out").at(0).get<std::int64_t>(),
                     c.at("out").at(1).get<std::int64_t>(), c.at("sha256").get<std::string>()});
  }
  return cases;
}

std::string name_of(const Case& c) {
  return std::to_string(c.image.height) + "x" + std::to_string(c.image.width) + " to " +
         std::to_string(c.height) + "x" + std::to_string(c.width);
}

TEST(Resize, EqualsPillowUpTo12OnEveryGoldenPair) {
  int gray = 0;
  int rgb = 0;
  for (const Case& c : golden_cases("resize_bilinear.json")) {
    const data::Image resized = data::resize_bilinear(c.image, c.height, c.width);
    EXPECT_EQ(sha256(resized.pixels), c.result_sha256) << name_of(c);
    (c.image.channels == 1 ? gray : rgb) += 1;
  }
  EXPECT_GE(gray, 200);
  EXPECT_GE(rgb, 40);
}

// Where Pillow 13 gives other bytes, it resized vertically first: an order that two calls give, too.
TEST(Resize, DiffersFromPillow13InTheOrderOfItsPassesAlone) {
  const std::vector<Case> cases = golden_cases("resize_pillow13.json");
  EXPECT_EQ(cases.size(), 74U);
  for (const Case& c : cases) {
    const data::Image once = data::resize_bilinear(c.image, c.height, c.width);
    const data::Image lower = data::resize_bilinear(c.image, c.height, c.image.width);
    const data::Image twice = data::resize_bilinear(lower, c.height, c.width);
    EXPECT_EQ(sha256(twice.pixels), c.result_sha256) << name_of(c);
    int most = 0;
    for (std::size_t i = 0; i < once.pixels.size(); ++i) {
      most = std::max(most, std::abs(once.pixels[i] - twice.pixels[i]));
    }
    EXPECT_EQ(most, 1) << name_of(c);
  }
}

TEST(Resize, RefusesImpossibleSizes) {
  const data::Image image{2, 2, 1, {1, 2, 3, 4}};
  EXPECT_THROW(data::resize_bilinear(image, 0, 5), ShapeError);
  EXPECT_THROW(data::resize_bilinear(image, 5, 65536), ShapeError);
  EXPECT_THROW(data::resize_bilinear(image, -1, 5), ShapeError);
}

TEST(Resize, RefusesImagesThatAreNone) {
  for (const data::Image& image : {data::Image{2, 2, 1, {1, 2, 3}}, data::Image{1, 1, 2, {1, 2}},
                                   data::Image{0, 2, 1, {}}, data::Image{-1, -1, 1, {1}}}) {
    EXPECT_THROW(data::resize_bilinear(image, 2, 2), ShapeError);
    std::vector<float> out(4);
    EXPECT_THROW(data::preprocess({{2, 2}, 1}, image, out), ShapeError);
  }
}

TEST(Resize, GivesTheSameBytesWithoutAvx2) {
  const RandomStream random(11, "resize/portable");
  std::uint64_t next = 0;
  std::vector<std::uint8_t> between;
  for (int round = 0; round < 200; ++round) {
    const auto side = [&] { return static_cast<std::int64_t>(1 + random.below(next++, 120)); };
    const std::int64_t channels = round % 2 == 0 ? 1 : 3;
    const std::int64_t in_height = side(), in_width = side(), height = side(), width = side();
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(in_height * in_width * channels));
    for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random.word(next++));
    std::vector<std::uint8_t> best(static_cast<std::size_t>(height * width * channels));
    std::vector<std::uint8_t> portable = best;
    images::Resampler(in_height, in_width, height, width, channels).run(pixels.data(), best.data(), between);
    images::Resampler(in_height, in_width, height, width, channels, true)
        .run(pixels.data(), portable.data(), between);
    ASSERT_EQ(best, portable) << in_height << "x" << in_width << " to " << height << "x" << width << ", "
                              << channels << " channels";
  }
}

// The passes one after the other, each over the whole picture, are what strips of columns must give.
TEST(Resize, InStripsGivesTheBytesOfTwoWholePasses) {
  const RandomStream random(12, "resize/strips");
  struct Sizes {
    std::int64_t in_height, in_width, height, width, channels;
  };
  for (const auto& [in_height, in_width, height, width, channels] :
       {Sizes{9000, 40, 30, 300, 1}, Sizes{9000, 40, 30, 301, 3}, Sizes{33000, 3, 5, 97, 1},
        Sizes{20000, 700, 3, 65, 3}}) {
    data::Image image{in_height, in_width, channels, {}};
    image.pixels.resize(static_cast<std::size_t>(in_height * in_width * channels));
    for (std::size_t i = 0; i < image.pixels.size(); ++i) {
      image.pixels[i] = static_cast<std::uint8_t>(random.word(i));
    }
    const data::Image widened = data::resize_bilinear(image, in_height, width);
    EXPECT_EQ(data::resize_bilinear(image, height, width).pixels,
              data::resize_bilinear(widened, height, width).pixels)
        << in_height << "x" << in_width << " to " << height << "x" << width;
  }
}

TEST(Resize, OfANarrowPictureToALowOneNeedsNoProductOfTheirSides) {
  constexpr std::int64_t kSide = 16384;
  const data::Image image{kSide, 1, 1, std::vector<std::uint8_t>(kSide, 7)};
  std::vector<std::uint8_t> out(kSide), between;
  images::Resampler(kSide, 1, 1, kSide, 1).run(image.pixels.data(), out.data(), between);
  EXPECT_EQ(out, std::vector<std::uint8_t>(kSide, 7));
  EXPECT_LE(between.size(), 1'100'000U) << "a MiB and a strip; it was 268 MB";
}

TEST(Resize, OfOneColourKeepsIt) {
  for (const std::uint8_t value : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{128}, std::uint8_t{255}}) {
    const data::Image image{7, 5, 3, std::vector<std::uint8_t>(7 * 5 * 3, value)};
    for (const auto& [height, width] :
         {std::pair(1, 1), std::pair(3, 11), std::pair(50, 5), std::pair(7, 200)}) {
      const data::Image resized = data::resize_bilinear(image, height, width);
      EXPECT_EQ(resized.pixels,
                std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3), value));
    }
  }
}

TEST(Preprocess, ScalesBytesToUnitRangeInEitherLayout) {
  const data::Image image{1, 2, 3, {0, 51, 255, 102, 153, 204}};
  std::vector<float> out(6);
  data::preprocess({{}, 3}, image, out);
  EXPECT_EQ(out, (std::vector<float>{0.0F, 0.4F, 0.2F, 0.6F, 1.0F, 0.8F}));
  data::preprocess({{}, 3}, image, out, ImageLayout::nhwc);
  EXPECT_EQ(out, (std::vector<float>{0.0F, 0.2F, 1.0F, 0.4F, 0.6F, 0.8F}));
}

TEST(Preprocess, DividesEveryByteBy255AsToTensor) {
  data::Image image{16, 16, 1, {}};
  for (int i = 0; i < 256; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i));
  std::vector<float> out(256);
  data::preprocess({{}, 1}, image, out);
  for (int i = 0; i < 256; ++i)
    EXPECT_EQ(out[static_cast<std::size_t>(i)], static_cast<float>(i) / 255.0F) << i;
}

TEST(Preprocess, RefusesAnOutputOfAnotherSize) {
  const data::Image image{2, 2, 1, {1, 2, 3, 4}};
  std::vector<float> out(5);
  EXPECT_THROW(data::preprocess({{}, 1}, image, out), ShapeError);
  EXPECT_THROW(data::preprocess({{3}, 1}, image, out), ShapeError);
}

TEST(Preprocess, OneNumberResizesTheShorterSideAndTruncatesTheLonger) {
  EXPECT_EQ(data::preprocessed_shape({{96}, 1}, 28, 28), (Shape{1, 96, 96}));
  EXPECT_EQ(data::preprocessed_shape({{10}, 3}, 20, 33), (Shape{3, 10, 16}));
  EXPECT_EQ(data::preprocessed_shape({{10}, 3}, 33, 20), (Shape{3, 16, 10}));
  EXPECT_EQ(data::preprocessed_shape({{5, 7}, 1}, 33, 20), (Shape{1, 5, 7}));
  EXPECT_EQ(data::preprocessed_shape({{}, 1}, 33, 20), (Shape{1, 33, 20}));
}

TEST(Preprocess, BoundsWhatAResizeMayGive) {
  EXPECT_EQ(data::preprocessed_shape({{1024}, 1}, 65535, 65535), (Shape{1, 1024, 1024}));
  EXPECT_EQ(data::preprocessed_shape({{}, 1}, 5000, 5000), (Shape{1, 5000, 5000})) << "no resize";
  EXPECT_THROW(data::preprocessed_shape({{4000, 4000}, 1}, 28, 28), ShapeError);
  EXPECT_THROW(data::preprocessed_shape({{1025}, 1}, 28, 28), ShapeError);
  EXPECT_THROW(data::preprocessed_shape({{1024}, 1}, 1, 60), ShapeError) << "63 million pixels";
}

TEST(Preprocess, MakesGrayAndRgbAlone) {
  std::vector<float> out(7);
  EXPECT_THROW(data::preprocess({{}, 7}, {1, 1, 1, {51}}, out), ShapeError);
}

TEST(Preprocess, ConvertsBetweenGrayAndRgbAsPil) {
  std::vector<float> rgb(3);
  data::preprocess({{}, 3}, {1, 1, 1, {51}}, rgb);
  EXPECT_EQ(rgb, (std::vector<float>{0.2F, 0.2F, 0.2F}));
  std::vector<float> gray(1);
  data::preprocess({{}, 1}, {1, 1, 3, {255, 0, 0}}, gray);
  EXPECT_EQ(gray[0], 76.0F / 255.0F);  // round(255 * 0.299)
}

// Model files are read by programs of other versions: these texts may not change.
TEST(Preprocess, HasOneTextForAllVersions) {
  EXPECT_EQ(data::to_json(data::Preprocessing{{}, 1}),
            R"({"resize":[0,0],"interpolation":"pil_bilinear","channels":1,"scale":"divide_by_255"})");
  EXPECT_EQ(data::to_json(data::Preprocessing{{96}, 3}),
            R"({"resize":[96,0],"interpolation":"pil_bilinear","channels":3,"scale":"divide_by_255"})");
  EXPECT_EQ(
      data::to_json(data::Preprocessing{{256, 320}, 3, images::Filter::bicubic, {224, 200}, {{0.5}, {0.25}}}),
      R"({"resize":[256,320],"interpolation":"pil_bicubic","channels":3,"scale":"divide_by_255",)"
      R"("crop":[224,200],"mean":[0.5],"std":[0.25]})");
}

TEST(Preprocess, GoesThroughJson) {
  for (const data::Preprocessing& p : {data::Preprocessing{{96}, 1}, data::Preprocessing{{32, 48}, 3},
                                       data::Preprocessing{{1024, 1024}, 2}, data::Preprocessing{{}, 7}}) {
    EXPECT_EQ(data::preprocessing_from_json(data::to_json(p)), p);
  }
  const auto with = [](const std::string& resize, const std::string& channels,
                       const std::string& interpolation, const std::string& scale,
                       const std::string& more = "") {
    return R"({"resize":)" + resize + R"(,"channels":)" + channels + R"(,"interpolation":)" + interpolation +
           R"(,"scale":)" + scale + more + "}";
  };
  const std::string bilinear = R"("pil_bilinear")";
  const std::string scale = R"("divide_by_255")";
  EXPECT_EQ(data::preprocessing_from_json(with("[96,0]", "3", bilinear, scale)),
            (data::Preprocessing{{96}, 3}));
  for (const std::string& text : {
           std::string(),
           std::string("[]"),
           std::string("{}"),
           std::string("7"),
           with("[1025,0]", "1", bilinear, scale),
           with("[4000,4000]", "1", bilinear, scale),
           with("[65535,17]", "1", bilinear, scale),
           with("[96,0]", "0", bilinear, scale),
           with("[96,0]", R"("1")", bilinear, scale),
           with("[96,0]", "18446744073709551615", bilinear, scale),
           with("[96,0]", "18446744073709551617", bilinear, scale),
           with("[96,0]", "1", R"("nearest")", scale),
           with("[96,0]", "1", "5", scale),
           with("[96,0]", "1", bilinear, "null"),
           with("[96,0]", "1", bilinear, scale, R"(,"x":1)"),
           with("[96,0]", "1", bilinear, scale, R"(,"scale":"divide_by_255")"),
           with("[-1,0]", "1", bilinear, scale),
           with("[0,5]", "1", bilinear, scale),
           with("[96.5,0]", "1", bilinear, scale),
           with("[65536,0]", "1", bilinear, scale),
           with("[96]", "1", bilinear, scale),
           with("96", "1", bilinear, scale),
       }) {
    EXPECT_THROW(data::preprocessing_from_json(text), FormatError) << text;
  }
}

}  // namespace
}  // namespace resnet

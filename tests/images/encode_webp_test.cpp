#include "images/encode_webp.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "resnet/error.h"

namespace resnet::images {
namespace {

Image gradient(std::int64_t height, std::int64_t width, std::int64_t channels) {
  Image image{height, width, channels, {}};
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (std::int64_t c = 0; c < channels; ++c)
        image.pixels.push_back(static_cast<std::uint8_t>((c == 0 ? 2 * x : 3 * y) % 256));
    }
  }
  return image;
}

TEST(EncodeWebp, IsReadBackAsAboutTheSamePicture) {
  const Image image = gradient(60, 90, 3);
  const std::vector<std::uint8_t> file = encode_webp(image, 95);
  EXPECT_EQ(std::string(file.begin() + 8, file.begin() + 12), "WEBP");
  const Image back = decode(file);
  ASSERT_EQ(back.height, 60);
  ASSERT_EQ(back.width, 90);
  double apart = 0;
  for (std::size_t i = 0; i < image.pixels.size(); ++i) apart += std::abs(image.pixels[i] - back.pixels[i]);
  EXPECT_LT(apart / static_cast<double>(image.pixels.size()), 8) << "of 256, mean";
  EXPECT_LT(encode_webp(image, 20).size(), file.size()) << "a lower quality is a smaller file";
}

TEST(EncodeWebp, GrayComesBackAsGrayInColour) {
  const Image image = gradient(16, 24, 1), back = decode(encode_webp(image, 95));
  ASSERT_EQ(back.channels, 3);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    ASSERT_NEAR(image.pixels[i], back.pixels[3 * i + 1], 16) << i;
}

TEST(EncodeWebp, WhatIsNoPictureOfItsKindIsRefused) {
  EXPECT_THROW(encode_webp(Image{2, 2, 3, {1, 2, 3}}), ShapeError);
  EXPECT_THROW(encode_webp(Image{1, 16384, 1, std::vector<std::uint8_t>(16384)}), ShapeError);
}

}  // namespace
}  // namespace resnet::images

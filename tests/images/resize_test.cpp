// Bicubic resizing equals Pillow's, byte for byte. Bilinear: tests/data/resize_test.cpp.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "base/sha256.h"
#include "images/resample.h"
#include "support/paths.h"

namespace resnet::images {
namespace {

TEST(ResizeBicubic, EqualsPillowWithAndWithoutVectors) {
  std::ifstream in(test::golden_folder() / "resize_bicubic.json");
  const nlohmann::json golden = nlohmann::json::parse(in);
  const nlohmann::json& cases = golden.at("cases");
  for (const auto& c : cases) {
    Image image{c.at("in").at(0), c.at("in").at(1), c.at("channels"), {}};
    const RandomStream stream(golden.at("seed").get<std::uint64_t>(),
                              "resize/" + std::to_string(image.height) + "x" + std::to_string(image.width));
    for (std::int64_t i = 0; i < image.height * image.width * image.channels; ++i) {
      image.pixels.push_back(static_cast<std::uint8_t>(stream.word(static_cast<std::uint64_t>(i)) & 255U));
    }
    const std::int64_t height = c.at("out").at(0), width = c.at("out").at(1);
    const Image resized = resize(image, height, width, Filter::bicubic);
    Sha256 hash;
    hash.update(std::as_bytes(std::span(resized.pixels)));
    EXPECT_EQ(hash.hex(), c.at("sha256").get<std::string>()) << c.dump();
    std::vector<std::uint8_t> portable(resized.pixels.size()), between;
    Resampler(image.height, image.width, height, width, image.channels, true, Filter::bicubic)
        .run(image.pixels.data(), portable.data(), between);
    EXPECT_EQ(portable, resized.pixels) << c.dump();
  }
  EXPECT_EQ(cases.size(), 180U);
}

}  // namespace
}  // namespace resnet::images

// Pictures of all kinds give Pillow's bytes.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/sha256.h"
#include "resnet/error.h"
#include "resnet/images.h"
#include "support/paths.h"

namespace resnet::images {
namespace {

std::string sha256(const std::vector<std::uint8_t>& bytes) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(bytes)));
  return hash.hex();
}

struct Case {
  std::string name;
  std::vector<std::uint8_t> file;
  std::int64_t height = 0, width = 0;
  std::string pixels_sha256;
};

// reference/pictures.py made them.
const std::vector<Case>& golden_pictures() {
  static const std::vector<Case> kCases = [] {
    std::ifstream in(test::golden_folder() / "pictures.json");
    std::ifstream files(test::golden_folder() / "pictures.bin", std::ios::binary);
    const nlohmann::json golden = nlohmann::json::parse(in);
    std::vector<Case> cases;
    for (const auto& c : golden.at("cases")) {
      Case one{c.at("name").get<std::string>(), std::vector<std::uint8_t>(c.at("bytes").get<std::size_t>()),
               c.at("height").get<std::int64_t>(), c.at("width").get<std::int64_t>(),
               c.at("sha256").get<std::string>()};
      files.read(reinterpret_cast<char*>(one.file.data()), static_cast<std::streamsize>(one.file.size()));
      cases.push_back(std::move(one));
    }
    return cases;
  }();
  return kCases;
}

bool is_jpeg(const Case& c) {
  return c.file[0] == 0xFF && c.file[1] == 0xD8;
}

TEST(Decode, EqualsPillowOnPicturesOfAllKinds) {
  for (const Case& c : golden_pictures()) {
    try {
      const Image image = decode(c.file);
      EXPECT_EQ(image.height, c.height) << c.name;
      EXPECT_EQ(image.width, c.width) << c.name;
      EXPECT_EQ(image.channels, 3) << c.name;
      EXPECT_EQ(sha256(image.pixels), c.pixels_sha256) << c.name;
    } catch (const Error& error) {
      ADD_FAILURE() << c.name << ": " << error.what();
    }
  }
  EXPECT_GE(golden_pictures().size(), 500U);
}

// reference/drafts.py made them of the same files.
TEST(Decode, EqualsPillowsDraft) {
  std::map<std::string, const Case*> pictures;
  for (const Case& c : golden_pictures()) pictures[c.name] = &c;
  std::ifstream in(test::golden_folder() / "drafts.json");
  const nlohmann::json golden = nlohmann::json::parse(in);
  std::set<std::int64_t> reductions;
  for (const auto& c : golden.at("cases")) {
    const Case& picture = *pictures.at(c.at("name").get<std::string>());
    const Draft wanted{c.at("wanted").at(0).get<std::int64_t>(), c.at("wanted").at(1).get<std::int64_t>()};
    const Image image = decode(picture.file, {}, wanted);
    EXPECT_EQ(image.height, c.at("height").get<std::int64_t>()) << picture.name;
    EXPECT_EQ(image.width, c.at("width").get<std::int64_t>()) << picture.name;
    EXPECT_EQ(sha256(image.pixels), c.at("sha256").get<std::string>())
        << picture.name << ", wanted " << c.at("wanted").dump();
    reductions.insert((picture.height + image.height - 1) / image.height);
  }
  EXPECT_GE(reductions.size(), 4U);
  EXPECT_GE(golden.at("cases").size(), 200U);
}

TEST(Decode, ReducesJpegAlone) {
  for (const Case& c : golden_pictures()) {
    if (is_jpeg(c)) continue;
    EXPECT_EQ(sha256(decode(c.file, {}, {1, 1}).pixels), c.pixels_sha256) << c.name;
  }
}

TEST(Probe, SaysWhatDecodeGives) {
  for (const Case& c : golden_pictures()) {
    const Info info = probe(c.file);
    EXPECT_EQ(info.height, c.height) << c.name;
    EXPECT_EQ(info.width, c.width) << c.name;
    std::string format(info.format);
    for (char& letter : format) letter = static_cast<char>(std::tolower(letter));
    if (!c.name.starts_with("photograph")) EXPECT_TRUE(c.name.starts_with(format)) << c.name;
  }
}

}  // namespace
}  // namespace resnet::images

// JPEG files that are decoded at a part of their sides.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/preprocess.h"
#include "resnet/folder.h"
#include "support/paths.h"
#include "support/scratch_folder.h"

namespace resnet::data {
namespace {

// The first photograph of the golden pictures that is a JPEG.
std::vector<std::uint8_t> photograph() {
  std::ifstream in(test::golden_folder() / "pictures.json");
  std::ifstream files(test::golden_folder() / "pictures.bin", std::ios::binary);
  const nlohmann::json golden = nlohmann::json::parse(in);
  for (const auto& c : golden.at("cases")) {
    std::vector<std::uint8_t> file(c.at("bytes").get<std::size_t>());
    files.read(reinterpret_cast<char*>(file.data()), static_cast<std::streamsize>(file.size()));
    const auto name = c.at("name").get<std::string>();
    if (name.starts_with("photograph") && name.ends_with(".jpg")) return file;
  }
  ADD_FAILURE() << "no photograph";
  return {};
}

TEST(Draft, IsWhatALoaderAndAModelDoToAFile) {
  const std::vector<std::uint8_t> file = photograph();
  const ScratchFolder scratch;
  const ScopedVariable cache("XDG_CACHE_HOME", (scratch / "cache").c_str());
  for (const char* name : {"photos/a", "photos/b"}) std::filesystem::create_directories(scratch / name);
  scratch.put("photos/a/1.jpg", file);
  scratch.put("photos/b/2.jpg", file);
  const images::Image whole = images::decode(file);
  const auto side = static_cast<int>(std::min(whole.height, whole.width) / 3);  // so that 1/2 is enough
  std::vector<std::vector<float>> seen;
  for (const bool draft : {false, true}) {
    const Dataset set =
        folder(scratch / "photos", {.resize = side, .jpeg_draft = draft, .val_split = 0}).train;
    const Image image = images::decode(file, {}, draft_of(set.preprocessing()));
    EXPECT_EQ(image.height, draft ? (whole.height + 1) / 2 : whole.height);
    std::vector<float> expected(static_cast<std::size_t>(set.example_shape().elements()));
    preprocess(set.preprocessing(), image, expected);
    for (const CacheKind kind : {CacheKind::none, CacheKind::memory}) {
      Loader loader(cached(set, {kind}), {.batch_size = 1});
      loader.start();
      const std::span<const float> values = loader.next()->images.values();
      EXPECT_TRUE(std::ranges::equal(values, expected));
    }
    seen.push_back(expected);
  }
  EXPECT_NE(seen[0], seen[1]);
  EXPECT_THROW(cached(folder(scratch / "photos", {.resize = side, .jpeg_draft = true, .val_split = 0}).train,
                      {CacheKind::disk}),
               ConfigError);
}

TEST(Draft, StandsInTheModelFileWhereItIsChosen) {
  Preprocessing p{.resize = 32, .channels = 3};
  EXPECT_EQ(to_json(p).find("jpeg"), std::string::npos) << "programs of before read it";
  p.jpeg_draft = true;
  EXPECT_EQ(preprocessing_from_json(to_json(p)), p);
  std::string other = to_json(p);
  other.replace(other.find("\"draft\""), 7, "\"rough\"");
  EXPECT_THROW(preprocessing_from_json(other), FormatError);
}

TEST(Draft, LeavesAtLeastTheResize) {
  const auto draft = [](const Preprocessing& p) { return std::pair(draft_of(p).height, draft_of(p).width); };
  EXPECT_EQ(draft({.resize = 32, .jpeg_draft = true}), (std::pair<std::int64_t, std::int64_t>{32, 32}));
  EXPECT_EQ(draft({.resize = {20, 30}, .jpeg_draft = true}), (std::pair<std::int64_t, std::int64_t>{20, 30}));
  EXPECT_EQ(draft({.resize = 32}), (std::pair<std::int64_t, std::int64_t>{0, 0}));
  EXPECT_EQ(draft({.crop = {8, 8}, .jpeg_draft = true}), (std::pair<std::int64_t, std::int64_t>{0, 0}));
}

}  // namespace
}  // namespace resnet::data

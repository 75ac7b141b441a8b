// Caches of decoded pictures: the same batches with each of them, and no file read twice.
#include "data/cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/files.h"
#include "resnet/folder.h"
#include "support/in_child.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;
using data::CacheKind;
using ::testing::HasSubstr;

constexpr int kPictures = 24;
constexpr std::int64_t kDecodedBytes = 9 * 12 * 3, kResizedBytes = 6 * 8 * 3;  // the latter behind --resize 6

class Cache : public ::testing::Test {
 protected:
  Cache() {
    for (int i = 0; i < kPictures; ++i) {
      std::string bytes = "P6\n12 9\n255\n";
      for (std::int64_t k = 0; k < kDecodedBytes; ++k) bytes += static_cast<char>((k * (i + 3)) % 251 + i);
      const fs::path path = dir() / (i % 2 == 0 ? "a" : "b") / (std::to_string(i) + ".ppm");
      fs::create_directories(path.parent_path());
      std::ofstream(path, std::ios::binary) << bytes;
    }
  }
  fs::path dir() const { return scratch_ / "photos"; }
  fs::path kept() const { return scratch_ / "cache/resnet/decoded"; }
  data::Dataset photos() const {
    return data::folder(dir(), {.resize = 6, .crop = {5, 5}, .val_split = 0}).train;
  }
  // What two epochs deliver; behind the first, nothing is left to decode if the files are `gone`.
  std::vector<float> epochs(const data::Dataset& set, const data::Augmentation& augment, int threads,
                            bool gone = false) const {
    data::Loader loader(set, {.batch_size = 5, .threads = threads, .augment = augment, .seed = 4});
    std::vector<float> values;
    for (int epoch = 0; epoch < 2; ++epoch) {
      loader.start(data::Order::shuffled(1), epoch);
      while (const data::Batch* batch = loader.next()) {
        values.insert(values.end(), batch->images.values().begin(), batch->images.values().end());
      }
      if (gone && epoch == 0) fs::rename(dir(), scratch_ / "gone");
    }
    if (gone) fs::rename(scratch_ / "gone", dir());
    return values;
  }
  std::vector<fs::path> files_on_disk() const {
    std::vector<fs::path> files;
    if (!fs::exists(kept())) return files;
    for (const auto& entry : fs::recursive_directory_iterator(kept())) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    return files;
  }

  ScratchFolder scratch_;

 private:
  ScopedVariable cache_{"XDG_CACHE_HOME", (scratch_ / "cache").c_str()};
};

const std::vector<data::Augmentation> kAugmentations = {
    {}, {data::PaddingCrop{.padding = 2}, data::Flip{}}, {data::RandomResizedCrop{}, data::Flip{}}};

TEST_F(Cache, GivesTheBatchesThatThereAreWithoutItAndDecodesNothingTwice) {
  for (const data::Augmentation& augment : kAugmentations) {
    const std::vector<float> expected = epochs(photos(), augment, 1);
    for (const CacheKind kind : {CacheKind::memory, CacheKind::disk}) {
      for (const int threads : {1, 2, 4}) {
        EXPECT_EQ(epochs(data::cached(photos(), {kind}), augment, threads, true), expected)
            << static_cast<int>(kind) << ", threads: " << threads;
      }
    }
  }
  EXPECT_EQ(files_on_disk().size(), 2U * kPictures);  // decoded, and behind the resize
}

TEST_F(Cache, KeepsToItsBytesAndDecodesTheOthers) {
  const std::vector<float> expected = epochs(photos(), {}, 1);
  const data::CacheOptions half{CacheKind::memory, kResizedBytes * kPictures / 2};
  const data::Dataset set = data::cached(photos(), half);
  EXPECT_EQ(epochs(set, {}, 3), expected);
  data::Image room;
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < kPictures; ++i) {
    found += set.cache()->find(i, data::Form::prepared, room) != nullptr ? 1 : 0;
  }
  EXPECT_EQ(found, kPictures / 2);
  EXPECT_THROW(epochs(set, {}, 1, true), IoError);
  fs::rename(scratch_ / "gone", dir());
  const data::TrainTest both = {set, set};
  EXPECT_THAT(data::cache_note(both, half, {}), HasSubstr("decoded in every epoch"));
  const data::CacheOptions whole{CacheKind::memory, 2 * kResizedBytes * kPictures};
  EXPECT_EQ(data::cache_note(data::cached(both, whole), whole, {}), "");
  EXPECT_THAT(data::cache_note(data::cached(both, whole), whole, {data::RandomResizedCrop{}}),
              HasSubstr("what does not fit"));
  EXPECT_THROW(data::cached(set, {CacheKind::memory, -1}), ConfigError);
}

// What is decoded in every epoch has it; a test set beside a validation set is read once.
TEST_F(Cache, IsOfTheSetsThatEpochsRead) {
  const data::TrainTest two = data::cached(data::TrainTest{photos(), photos()}, {CacheKind::memory});
  EXPECT_NE(two.train.cache(), nullptr);
  EXPECT_NE(two.test.cache(), nullptr);
  const data::TrainTest three =
      data::cached(data::TrainTest{photos(), photos(), photos()}, {CacheKind::memory});
  EXPECT_NE(three.train.cache(), nullptr);
  EXPECT_NE(three.validation->cache(), nullptr);
  EXPECT_EQ(three.test.cache(), nullptr);
}

// Copies share a file, which counts once.
TEST_F(Cache, OnDiskKeepsToItsBytesBesideCopies) {
  for (int i = 0; i < 3 * kPictures; ++i)
    fs::copy_file(dir() / "a/0.ppm", dir() / "a" / (std::to_string(i) + "-again.ppm"));
  constexpr std::int64_t kFileBytes = 40 + kResizedBytes;
  for (const std::int64_t files : {kPictures / 2, kPictures}) {
    epochs(data::cached(photos(), {CacheKind::disk, files * kFileBytes}), {}, 1);
    EXPECT_EQ(files_on_disk().size(), static_cast<std::size_t>(files));
  }
}

TEST_F(Cache, OnDiskKeepsToItsBytesFromRunToRun) {
  const std::vector<float> expected = epochs(photos(), {}, 1);
  constexpr std::int64_t kHeadBytes = 40, kFiles = 10;
  const data::CacheOptions some{CacheKind::disk, kFiles * (kHeadBytes + kResizedBytes)};
  for (int run = 0; run < 3; ++run) {
    EXPECT_EQ(epochs(data::cached(photos(), some), {}, 2), expected);
    EXPECT_EQ(files_on_disk().size(), kFiles) << run;
  }
  EXPECT_EQ(epochs(data::cached(photos(), {CacheKind::disk}), {}, 2), expected);
  EXPECT_EQ(files_on_disk().size(), kPictures);
}

TEST_F(Cache, OnDiskIsDecodedAnewWhereItIsDamaged) {
  const std::vector<float> expected = epochs(photos(), {}, 1);
  const auto damaged = [&](const char* what, const auto& damage) {
    epochs(data::cached(photos(), {CacheKind::disk}), {}, 1);
    const std::vector<fs::path> files = files_on_disk();
    EXPECT_EQ(files.size(), kPictures);
    for (std::size_t i = 0; i < files.size(); ++i) {
      const std::vector<std::byte> bytes = read_file(files[i]);
      std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      damage(text, i, files);
      std::ofstream(files[i], std::ios::binary) << text;
    }
    EXPECT_EQ(epochs(data::cached(photos(), {CacheKind::disk}), {}, 2), expected) << what;
    // They are whole again.
    EXPECT_EQ(epochs(data::cached(photos(), {CacheKind::disk}), {}, 1, true), expected) << what;
  };
  damaged("a bit of a pixel", [](std::string& text, std::size_t i, const auto&) {
    text[text.size() - 1 - i] = static_cast<char>(text[text.size() - 1 - i] ^ 4);
  });
  damaged("a bit of the head",
          [](std::string& text, std::size_t i, const auto&) { text[i] = static_cast<char>(text[i] ^ 1); });
  damaged("cut off", [](std::string& text, std::size_t i, const auto&) { text.resize(i * 7); });
  damaged("sides swapped", [](std::string& text, std::size_t, const auto&) {
    std::swap_ranges(text.begin() + 8, text.begin() + 16, text.begin() + 16);
  });
  damaged("another picture's", [](std::string& text, std::size_t i, const auto& files) {
    const std::vector<std::byte> bytes = read_file(files[(i + 1) % files.size()]);
    text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
}

// Length and time are the old ones, so the scan's cache does not notice.
TEST_F(Cache, OnDiskKnowsAPictureByWhatWasDecoded) {
  const data::Dataset set = data::cached(photos(), {CacheKind::disk});
  const fs::path path = dir() / set.source().name(3);
  const auto time = fs::last_write_time(path);
  const std::vector<std::byte> before = read_file(path);
  std::vector<std::byte> other = before;
  other.back() ^= std::byte{1};
  const std::span<const std::byte> part = other, old = before;
  write_file(path, std::span(&part, 1));
  epochs(set, {data::RandomResizedCrop{}}, 1);
  write_file(path, std::span(&old, 1));
  fs::last_write_time(path, time);
  EXPECT_EQ(epochs(data::cached(photos(), {CacheKind::disk}), {data::RandomResizedCrop{}}, 1),
            epochs(photos(), {data::RandomResizedCrop{}}, 1));
}

TEST_F(Cache, OnDiskGoesOnWhereNothingCanBeWritten) {
  const std::vector<float> expected = epochs(photos(), {}, 1);
  fs::create_directories(kept().parent_path());
  std::ofstream(kept()) << "a file in the folder's place";
  EXPECT_EQ(epochs(data::cached(photos(), {CacheKind::disk}), {}, 2), expected);
  const ScopedVariable nowhere("XDG_CACHE_HOME", nullptr);
  const ScopedVariable homeless("HOME", nullptr);
  const data::Dataset set = data::cached(photos(), {CacheKind::disk});
  EXPECT_EQ(set.cache(), nullptr);
  EXPECT_EQ(epochs(set, {}, 2), expected);
  EXPECT_THAT(data::cache_note({set, set}, {CacheKind::disk}, {}), HasSubstr("no place"));
}

TEST_F(Cache, StaysWithTheFirstExamplesAndOtherClasses) {
  const data::Dataset set = data::cached(photos(), {CacheKind::memory});
  const data::Dataset part = set.first(7).with_classes({"x", "b", "a"});
  EXPECT_NE(part.cache(), nullptr);
  EXPECT_EQ(part.cache(), set.cache());
  epochs(set, {}, 1);
  EXPECT_EQ(epochs(part, {}, 1, true), epochs(photos().first(7), {}, 1));
}

TEST_F(Cache, IsFoundInAChildOfFork) {
  const data::Dataset set = data::cached(photos(), {CacheKind::memory});
  const std::vector<float> expected = epochs(set, {}, 2);
  EXPECT_EQ(test::in_child([&] { return epochs(set, {}, 2, true) == expected; }), test::Child::held);
}

// No files, so nothing to gain.
TEST(CacheInMemory, IsNotKeptTwice) {
  class Bytes final : public data::Dataset::Source {
    std::int64_t size() const override { return 1; }
    std::int32_t label(std::int64_t) const override { return 0; }
    void image(std::int64_t, data::Image& out) const override { out = {1, 1, 1, {7}}; }
    bool in_memory() const override { return true; }
  };
  const data::Dataset set(std::make_shared<Bytes>(), "bytes", {"x"}, {{}, 1}, Shape{1, 1, 1});
  const data::Dataset cached = data::cached(set, {CacheKind::memory});
  EXPECT_EQ(cached.cache(), nullptr);
  EXPECT_THAT(data::cache_note({cached, cached}, {CacheKind::memory}, {}), HasSubstr("needs no cache"));
}

}  // namespace
}  // namespace resnet

// Folders of pictures: what is looked at, what is told, and how they are split.
#include "resnet/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <set>

#include "base/files.h"
#include "base/sha256.h"
#include "base/text.h"
#include "data/folder.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ClassNames, ThatNoModelFileHoldsAreRefused) {
  EXPECT_NO_THROW(data::check_classes("d", data::numbered_classes(data::kMostClasses), ""));
  std::vector<std::string> names = data::numbered_classes(40'000);
  for (std::string& name : names) name += std::string(105, 'a');
  EXPECT_THROW(data::check_classes("d", names, ""), FormatError);
  EXPECT_THROW(data::check_classes("d", {std::string(200, '\1')}, ""), FormatError);
}

// Each test has a cache of its own, so that none sees another's.
class PictureFolder : public ::testing::Test {
 protected:
  fs::path dir() const { return scratch_ / "photos"; }
  void put(const fs::path& path, const std::string& bytes) const {
    fs::create_directories((dir() / path).parent_path());
    std::ofstream(dir() / path, std::ios::binary) << bytes;
  }
  // Different pictures for different numbers; `comment` changes the file alone.
  void put_picture(const fs::path& path, int number, const std::string& comment = "", int width = 3) const {
    std::string bytes =
        "P6\n" + (comment.empty() ? "" : "# " + comment + "\n") + std::to_string(width) + " 2\n255\n";
    for (int i = 0; i < 3 * 2 * width; ++i) bytes += static_cast<char>((number >> (i % 4 * 4)) + 31 * i);
    put(path, bytes);
  }
  data::FolderScan scan() const { return data::scan_folder(dir()); }
  std::string refusal(const data::DatasetOptions& options = {}) const {
    try {
      data::folder(dir(), options);
    } catch (const Error& error) {
      return std::string(error.what()) + " | " + error.hint();
    }
    return "accepted";
  }

 private:
  ScratchFolder scratch_;
  ScopedVariable cache_{"XDG_CACHE_HOME", (scratch_ / "cache").c_str()};
};

std::vector<std::string> paths_of(const data::FolderScan& scan) {
  std::vector<std::string> paths;
  for (const data::Picture& picture : scan.pictures) paths.push_back(picture.path.string());
  return paths;
}

TEST_F(PictureFolder, OfEachClassIsASubFolderOfAnyDepthAndScript) {
  put_picture("кошки/a/b/c/1.ppm", 1);
  put_picture("кошки/2.PPM", 2);
  put_picture("犬 (large)/3.ppm", 3);
  put_picture("Ants/4.pnm", 4);
  const data::FolderScan found = scan();
  EXPECT_THAT(found.classes, ElementsAre("Ants", "кошки", "犬 (large)"));
  EXPECT_THAT(paths_of(found),
              ElementsAre("Ants/4.pnm", "кошки/2.PPM", "кошки/a/b/c/1.ppm", "犬 (large)/3.ppm"));
  EXPECT_EQ(found.pictures[1].label, 1);
  EXPECT_EQ(found.pictures[0].facts.height, 2);
  EXPECT_EQ(found.pictures[0].facts.width, 3);
  const auto [train, test, watched] = data::folder(dir(), {.val_split = 0});
  EXPECT_EQ(train.size(), 4);
  EXPECT_EQ(train.example_shape(), (Shape{3, 2, 3}));
  EXPECT_EQ(train.name(), "folder:" + dir().string());
}

TEST_F(PictureFolder, HoldsMoreThanPictures) {
  put_picture("a/1.ppm", 1);
  put_picture("b/2.ppm", 2);
  put_picture("a/.hidden.ppm", 3);
  put_picture(".git/a/4.ppm", 4);
  put_picture("__MACOSX/a/5.ppm", 5);
  put_picture("6.ppm", 6);
  put("a/Thumbs.db", "x");
  put("b/Desktop.ini", "x");
  put("b/notes.TXT", "P6 but no picture");
  put("b/more.txt", "x");
  put("b/LICENSE", "x");
  fs::create_directories(dir() / "empty/deeper");
  fs::create_directory_symlink(dir(), dir() / "a/around");
  fs::create_directory_symlink("../b", dir() / "a/linked");
  fs::create_symlink("2.ppm", dir() / "b/again.ppm");
  const data::FolderScan found = scan();
  EXPECT_THAT(found.classes, ElementsAre("a", "b"));
  EXPECT_THAT(paths_of(found),
              ElementsAre("a/1.ppm", "a/linked/2.ppm", "a/linked/again.ppm", "b/2.ppm", "b/again.ppm"));
  EXPECT_THAT(found.empty, ElementsAre("empty"));
  EXPECT_EQ(found.loose, 1);
  EXPECT_EQ(found.links, 1);
  EXPECT_TRUE(found.bad.empty());
  EXPECT_EQ(found.others, (std::map<std::string, std::int64_t>{{"", 2}, {".txt", 4}}));  // b/ is seen twice
  const data::Duplicates twice = data::duplicates_of(found);
  EXPECT_EQ(twice.pictures, 3);
  EXPECT_EQ(twice.in_classes, 1);
}

// Without a bound 2^25 ways would lead to the last one.
TEST_F(PictureFolder, OfLinksThatDoubleAtEachLevelIsRefusedSoon) {
  constexpr int kLevels = 25;
  for (int i = 0; i <= kLevels; ++i) fs::create_directories(dir() / "a" / std::to_string(i));
  for (int i = 0; i < kLevels; ++i) {
    for (const char* name : {"left", "right"})
      fs::create_directory_symlink("../" + std::to_string(i + 1), dir() / "a" / std::to_string(i) / name);
  }
  put_picture("a/" + std::to_string(kLevels) + "/1.ppm", 1);
  const data::FolderScan found = scan();
  EXPECT_LE(found.pictures.size(), 40U);
  ASSERT_FALSE(found.bad.empty());
  EXPECT_EQ(found.bad[0].why, "more than 40 ways lead to this folder");
  EXPECT_THAT(refusal(), HasSubstr("more than 40 ways lead to this folder"));
}

TEST_F(PictureFolder, NamesEveryBadFileAtOnceOrLeavesThemOut) {
  for (int i = 0; i < 4; ++i) put_picture("a/" + std::to_string(i) + ".ppm", i);
  for (int i = 0; i < 4; ++i) put_picture("b/" + std::to_string(i) + ".ppm", 10 + i);
  put("a/empty.jpg", "");
  put("b/text.png", "no picture");
  put("b/huge.png", "");
  fs::resize_file(dir() / "b/huge.png", (std::uintmax_t{256} << 20) + 1);  // all of it a hole
  put("b/no-ending", "\xff\xd8\xff\xe0 begins like a JPEG");
  fs::create_symlink("nothing", dir() / "b/link.ppm");
  std::vector<std::string> told;
  data::DatasetOptions options;
  options.scanned = [&](const data::FolderScan& found) {
    for (const data::BadFile& bad : found.bad) {
      told.push_back(bad.path.string());
      EXPECT_FALSE(bad.why.empty());
      if (bad.path == "b/huge.png") EXPECT_EQ(bad.why, "is larger than 268435456 bytes");
      EXPECT_EQ(bad.why.find(dir().string()), std::string::npos) << bad.why;
    }
  };
  EXPECT_THAT(refusal(options), HasSubstr("a/empty.jpg cannot be read: "));
  EXPECT_THAT(refusal(options), HasSubstr("; 4 more cannot | mend or delete"));
  told.clear();
  options.on_bad_file = data::BadFiles::skip;
  const auto [train, test, watched] = data::folder(dir(), options);
  EXPECT_THAT(told, ElementsAre("a/empty.jpg", "b/huge.png", "b/link.ppm", "b/no-ending", "b/text.png"));
  EXPECT_EQ(train.size() + test.size(), 8);
  EXPECT_EQ(train.source().counts()->bad_files, 5);
}

// Of 1x1000 pixels a shorter side of 96 would make 96x96000.
TEST_F(PictureFolder, NamesPicturesOfWhichTheResizeWouldMakeTooMuch) {
  for (int i = 0; i < 8; ++i) put_picture((i % 2 == 0 ? "a/" : "b/") + std::to_string(i) + ".ppm", i);
  put_picture("a/strip.ppm", 9, "", 1000);
  put_picture("c/strip.ppm", 10, "", 1000);
  data::DatasetOptions options;
  EXPECT_EQ(data::scan_folder(dir(), options).bad.size(), 0U);
  options.resize = {1000, 0};
  EXPECT_THAT(refusal(options), HasSubstr("a/strip.ppm cannot be read: an image of "));
  options.on_bad_file = data::BadFiles::skip;
  const auto [train, test, watched] = data::folder(dir(), options);
  EXPECT_EQ(train.size() + test.size(), 8);
  EXPECT_EQ(train.source().counts()->bad_files, 2);
  EXPECT_THAT(train.classes(), ElementsAre("a", "b")) << "none is of strips alone";
  options.resize = {2000, 0};
  EXPECT_THROW(data::folder(dir(), options), ShapeError) << "no picture is at fault";
}

TEST_F(PictureFolder, IsSplitByContent) {
  // 100 planted duplicates: copies, the same picture in another file, in the class itself and in the other
  // one.
  constexpr int kPictures = 400;
  for (int i = 0; i < kPictures; ++i) {
    const std::string name = std::to_string(i) + ".ppm";
    put_picture((i % 4 == 0 ? "few/" : "many/") + name, i);
    if (i % 4 != 1) continue;
    const std::string kind = std::to_string(i % 3);
    put_picture((i % 5 == 0 ? "few/" : "many/") + std::string("copy ") + name, i, i % 3 == 0 ? "" : kind);
  }
  const data::FolderScan found = scan();
  EXPECT_EQ(data::duplicates_of(found).pictures, 100);
  EXPECT_EQ(data::duplicates_of(found).in_classes, 20);
  for (const std::uint64_t seed : {0, 1, 2, 3}) {
    for (const double share : {0.1, 0.25, 0.5}) {
      const std::vector<data::Split> sides = data::split_of(found, share, seed);
      std::map<std::string, std::set<data::Split>> sides_of;
      std::vector<double> tested(2), all(2);
      for (std::size_t i = 0; i < sides.size(); ++i) {
        const auto label = static_cast<std::size_t>(found.pictures[i].label);
        sides_of[found.pictures[i].facts.digest].insert(sides[i]);
        all[label] += 1;
        tested[label] += sides[i] == data::Split::test ? 1 : 0;
      }
      EXPECT_EQ(sides_of.size(), kPictures);
      for (const auto& [digest, of] : sides_of) EXPECT_EQ(of.size(), 1U);
      for (const int k : {0, 1}) EXPECT_LE(std::abs(tested[k] - share * all[k]), 1) << seed << ' ' << share;
      EXPECT_EQ(sides, data::split_of(found, share, seed));
    }
  }
  EXPECT_NE(data::split_of(found, 0.1, 0), data::split_of(found, 0.1, 1));
}

TEST_F(PictureFolder, SmallClassesHavePicturesOnBothSides) {
  for (int i = 0; i < 2; ++i) put_picture("two/" + std::to_string(i) + ".ppm", i);
  for (int i = 2; i < 50; ++i) put_picture("more/" + std::to_string(i) + ".ppm", i);
  put_picture("one/x.ppm", 60);
  const auto [train, test, watched] = data::folder(dir(), {});
  std::map<std::string, int> tested;
  for (std::int64_t i = 0; i < test.size(); ++i)
    ++tested[test.classes()[static_cast<std::size_t>(test.label(i))]];
  EXPECT_EQ(tested, (std::map<std::string, int>{{"two", 1}, {"more", 5}}));
}

TEST_F(PictureFolder, WithTrainAndValIsUsedAsItIs) {
  put_picture("train/a/1.ppm", 1);
  put_picture("train/b/2.ppm", 2);
  put_picture("train/c/3.ppm", 3);
  put_picture("val/a/4.ppm", 4);
  put_picture("val/b/5.ppm", 1, "the first of a");
  put_picture("extra/a/6.ppm", 6);
  fs::create_directories(dir() / "val/c");
  const data::FolderScan found = scan();
  EXPECT_THAT(found.classes, ElementsAre("a", "b", "c"));
  EXPECT_THAT(found.empty, ElementsAre("val/c"));
  EXPECT_EQ(found.loose, 1);
  EXPECT_EQ(data::duplicates_of(found).overlaps, 1);
  const auto [train, test, watched] = data::folder(dir(), {.val_split = 0.9});
  EXPECT_EQ(train.size(), 3);
  EXPECT_EQ(test.size(), 2);
  EXPECT_EQ(test.source().counts()->overlaps, 1);
  EXPECT_FALSE(watched);
  put_picture("test/c/7.ppm", 7);  // then val/ is the validation set
  const auto [learned, tested, validation] = data::folder(dir());
  EXPECT_EQ(learned.size(), 3);
  ASSERT_EQ(tested.size(), 1);
  EXPECT_EQ(tested.source().name(0), "test/c/7.ppm");
  EXPECT_EQ(tested.source().counts()->overlaps, 0) << "what is in val/ too is not of the test";
  EXPECT_EQ(tested.source().counts()->val_overlaps, 1) << "of train/";
  put_picture("test/c/9.ppm", 4);
  EXPECT_EQ(data::duplicates_of(scan()).val_overlaps, 2) << "and of test/";
  ASSERT_TRUE(validation);
  EXPECT_EQ(validation->size(), 2);
  EXPECT_THAT(validation->classes(), ElementsAre("a", "b", "c"));
  put_picture("test/d/8.ppm", 8);
  EXPECT_THAT(refusal(), HasSubstr("class 'd' has no picture in train/"));
}

// Whole ones are not used there either.
TEST_F(PictureFolder, IsNotRefusedForABrokenPictureBesideTheClasses) {
  put_picture("train/a/1.ppm", 1);
  put_picture("val/a/2.ppm", 2);
  put("extra/a/3.png", "no picture");
  put("4.png", "no picture");
  const data::FolderScan found = scan();
  EXPECT_TRUE(found.bad.empty());
  EXPECT_EQ(found.loose, 2);
  EXPECT_EQ(refusal(), "accepted");
  put("val/a/5.png", "no picture");
  EXPECT_THAT(refusal(), HasSubstr("val/a/5.png"));
}

TEST_F(PictureFolder, MayHaveAClassThatIsCalledTrain) {
  put_picture("train/1.ppm", 1);
  put_picture("car/2.ppm", 2);
  EXPECT_THAT(scan().classes, ElementsAre("car", "train"));
}

TEST_F(PictureFolder, WithTrainAloneIsSplit) {
  for (int i = 0; i < 20; ++i)
    put_picture("train/" + std::string(i % 2 == 0 ? "a/" : "b/") + std::to_string(i) + ".ppm", i);
  const auto [train, test, watched] = data::folder(dir(), {.val_split = 0.2});
  EXPECT_EQ(train.size(), 16);
  EXPECT_EQ(test.size(), 4);
}

TEST_F(PictureFolder, ThatIsNoneIsRefused) {
  EXPECT_THAT(refusal(), HasSubstr("No such file or directory"));
  put("only.txt", "x");
  EXPECT_THAT(refusal(), HasSubstr("no sub-folder with pictures | it needs a sub-folder for each class"));
  put_picture("1.ppm", 1);
  EXPECT_THAT(refusal(), HasSubstr("no sub-folder with pictures, 1 beside them"));
  put_picture("pictures/a/1.ppm", 1);
  put_picture("pictures/b/2.ppm", 2);
  EXPECT_THAT(refusal(), HasSubstr("all pictures are in one class, 'pictures'"));
  put_picture("other/3.ppm", 3, "", 4);
  EXPECT_THAT(refusal(), HasSubstr("several sizes need DatasetOptions::resize"));
  EXPECT_EQ(refusal({.resize = 8}), "accepted");
  EXPECT_THAT(refusal({.val_split = 1.5}), HasSubstr("DatasetOptions::val_split cannot be 1.5"));
  EXPECT_THAT(refusal({.val_split = std::nan("")}), HasSubstr("DatasetOptions::val_split cannot be nan"));
  put_picture("\xff\xfe/3.ppm", 3);
  EXPECT_THAT(refusal({.resize = 8}), HasSubstr("is no class name | rename the folder"));
}

TEST_F(PictureFolder, IsKnownByItsContent) {
  for (int i = 0; i < 30; ++i) put_picture((i % 2 == 0 ? "a/" : "b/") + std::to_string(i) + ".ppm", i);
  const auto [train, test, watched] = data::folder(dir());
  const std::string before = data::content_sha256(train.source(), train.size());
  EXPECT_EQ(train.content_sha256(), before);
  EXPECT_NE(train.first(1).content_sha256(), before);
  for (int i = 0; i < 30; ++i) {  // other names, other files
    fs::remove(dir() / ((i % 2 == 0 ? "a/" : "b/") + std::to_string(i) + ".ppm"));
    put_picture((i % 2 == 0 ? "a/x" : "b/x") + std::to_string(97 * i % 31) + ".ppm", i, "again");
  }
  const auto [renamed, other, none] = data::folder(dir());
  EXPECT_EQ(data::content_sha256(renamed.source(), renamed.size()), before);
  put_picture("a/new.ppm", 77);
  EXPECT_NE(data::content_sha256(data::folder(dir(), {.val_split = 0}).train.source(), 100), before);
}

// Where the cache is, how it is used, and that it may be damaged.
TEST_F(PictureFolder, IsScannedOnce) {
  put_picture("a/1.ppm", 1);
  put_picture("b/2.ppm", 2);
  int told = 0;
  data::DatasetOptions options;
  options.scanning = [&](std::int64_t done, std::int64_t all) {
    EXPECT_LE(done, all);
    ++told;
  };
  const auto looks = [&] {
    told = 0;
    EXPECT_EQ(data::scan_folder(dir(), options).pictures.size(), 2U);
    return told > 0;
  };
  EXPECT_TRUE(looks());
  EXPECT_FALSE(looks());
  const fs::path folder = dir().parent_path() / "cache/resnet";
  ASSERT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
  const fs::path cache = fs::directory_iterator(folder)->path();
  const std::string whole = read_text(cache);
  for (std::size_t at = 0; at < whole.size(); at += 31) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    write_file(cache, damaged);
    EXPECT_TRUE(looks()) << at;
  }
  write_file(cache, whole.substr(0, whole.size() / 2));
  EXPECT_TRUE(looks());
  fs::remove(cache);
  EXPECT_TRUE(looks());
  EXPECT_FALSE(looks());
  std::string other = read_text(cache);  // of another decoder
  const std::size_t version = other.find("libpng 1") + std::string("libpng ").size();
  ASSERT_LT(version, other.find('\n'));
  other[version] = '9';
  other.resize(other.size() - 64);
  write_file(cache, other + sha256_of(other));
  EXPECT_TRUE(looks());
  EXPECT_FALSE(looks());
  put_picture("a/1.ppm", 3);  // another time
  fs::last_write_time(dir() / "a/1.ppm", fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_TRUE(looks());
  EXPECT_FALSE(looks());
}

TEST_F(PictureFolder, IsReadByTheLoaderInItsThreads) {
  for (int i = 0; i < 40; ++i)
    put_picture((i % 2 == 0 ? "a/" : "b/") + std::to_string(i) + ".ppm", i, "", 3 + i % 5);
  const auto [train, test, watched] = data::folder(dir(), {.resize = {4, 4}});
  std::vector<std::vector<float>> seen;
  for (const int threads : {1, 2, 4}) {
    data::Loader loader(train, {.batch_size = 5, .threads = threads});
    loader.start(data::Order::shuffled(1), 0);
    std::vector<float> values;
    while (const data::Batch* batch = loader.next()) {
      values.insert(values.end(), batch->images.values().begin(), batch->images.values().end());
    }
    seen.push_back(values);
  }
  EXPECT_EQ(seen[0].size(), 36U * 3 * 4 * 4);
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(seen[0], seen[2]);
  fs::remove(dir() / train.source().name(7));
  data::Loader loader(train, {.batch_size = 5});
  loader.start();
  EXPECT_NE(loader.next(), nullptr);
  EXPECT_THROW(loader.next(), IoError);
}

TEST_F(PictureFolder, HasItsClassesByNameAmongOthers) {
  put_picture("a/1.ppm", 1);
  put_picture("c/2.ppm", 2);
  const data::Dataset own = data::folder(dir(), {.val_split = 0}).train;
  const data::Dataset among = own.with_classes({"c", "b", "a"});
  EXPECT_NE(among.content_sha256(), own.content_sha256()) << "labels are part of it";
  EXPECT_EQ(among.classes().size(), 3U);
  for (std::int64_t i = 0; i < 2; ++i) {
    EXPECT_EQ(among.classes()[static_cast<std::size_t>(among.label(i))],
              own.classes()[static_cast<std::size_t>(own.label(i))]);
    EXPECT_EQ(among.image(i).pixels, own.image(i).pixels);
  }
  EXPECT_THROW(own.with_classes({"a", "b"}), FormatError);
}

TEST_F(PictureFolder, ClassesOfCopiesAloneHavePicturesOnBothSides) {
  for (int i = 0; i < 10; ++i) put_picture("pairs/" + std::to_string(i) + ".ppm", i / 2, std::to_string(i));
  for (int i = 0; i < 12; ++i)
    put_picture("fours/" + std::to_string(i) + ".ppm", 100 + i / 4, std::to_string(i));
  for (int i = 0; i < 20; ++i) put_picture("single/" + std::to_string(i) + ".ppm", 200 + i);
  const data::FolderScan found = scan();
  ASSERT_THAT(found.classes, ElementsAre("fours", "pairs", "single"));
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<data::Split> sides = data::split_of(found, 0.1, seed);
    std::vector<int> tested(3);
    for (std::size_t i = 0; i < sides.size(); ++i)
      tested[static_cast<std::size_t>(found.pictures[i].label)] += sides[i] == data::Split::test ? 1 : 0;
    EXPECT_THAT(tested, ElementsAre(4, 2, 2)) << seed;
  }
}

TEST_F(PictureFolder, OfTwoPicturesInManyCopiesHasOneToTrainOn) {
  for (int i = 0; i < 3; ++i) put_picture("a/x" + std::to_string(i) + ".ppm", 1, std::to_string(i));
  for (int i = 0; i < 2; ++i) put_picture("a/y" + std::to_string(i) + ".ppm", 2, std::to_string(i));
  for (int i = 3; i < 13; ++i) put_picture("b/" + std::to_string(i) + ".ppm", i);
  const data::FolderScan found = scan();
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<data::Split> sides = data::split_of(found, 0.8, seed);
    EXPECT_GT(std::count(sides.begin(), sides.begin() + 5, data::Split::train), 0) << seed;
  }
}

}  // namespace
}  // namespace resnet

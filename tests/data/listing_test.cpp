// What stands in a folder of pictures, and what the system does not say; and what is kept of it for the next
// time.
#include "data/listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "base/files.h"
#include "base/sha256.h"
#include "data/scan_cache.h"
#include "support/message_of.h"
#include "support/passed_on.h"
#include "support/scratch_folder.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Calls of one name fail for paths that end so; all of them where it is empty.
class Refusing final : public test::PassedOn {
 public:
  Refusing(std::string call, std::string end)
      : PassedOn(file_system()), call_(std::move(call)), end_(std::move(end)) {}
  int open(const char* path, int flags, mode_t mode) noexcept override {
    return refused("open", path) ? -1 : PassedOn::open(path, flags, mode);
  }
  int stat(const char* path, struct stat* status) noexcept override {
    return refused("stat", path) ? -1 : PassedOn::stat(path, status);
  }
  int list(const char* folder, std::vector<std::string>& names) override {
    return refused("list", folder) ? -1 : PassedOn::list(folder, names);
  }

 private:
  bool refused(const std::string& call, const std::string& path) const {
    if (call != call_ || !path.ends_with(end_)) return false;
    errno = EIO;
    return true;
  }
  std::string call_, end_;
};

class Listed : public testing::Test {
 protected:
  void put(const fs::path& name, const std::string& text = "x") const {
    fs::create_directories((folder_ / name).parent_path());
    write_file(folder_ / name, text);
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const ListedFile& file : list_folder(folder_.path()).files) names.push_back(file.path.string());
    return names;
  }
  std::string refusal() const {
    return test::message_of<IoError>([&] { static_cast<void>(list_folder(folder_.path())); });
  }
  ScratchFolder folder_;
};

TEST_F(Listed, ArePicturesByTheirNameOrTheirFirstBytes) {
  put("a.JPG");
  put("b", "\x89PNG\r\n\x1a\n....");
  put("c", "\xff\xd8\xff.........");
  put("d", "RIFF1234WEBP");
  put("e", "RIFF1234WAVE");
  put("f", "a text of more than twelve bytes");
  put("g", "short");
  put("h.XML", "\xff\xd8\xff.........");
  EXPECT_THAT(files(), ElementsAre("a.JPG", "b", "c", "d"));
  Refusing unread("open", "/c");
  const test::FilesReplaced replaced(unread);
  EXPECT_THAT(files(), ElementsAre("a.JPG", "b", "d")) << "what cannot be read says nothing";
}

TEST_F(Listed, IsWhatTheSystemDoesNotSay) {
  put("sub/a.png");
  put("b.png");
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(list_folder(folder_.path()).others.at("(no file)"), 1);
  {
    Refusing files("list", "/sub");
    const test::FilesReplaced replaced(files);
    const Listing found = list_folder(folder_.path());
    ASSERT_EQ(found.bad.size(), 1U);
    EXPECT_EQ(found.bad[0].why, "the folder cannot be listed: Input/output error");
  }
  {
    Refusing files("stat", "b.png");
    const test::FilesReplaced replaced(files);
    const Listing found = list_folder(folder_.path());
    ASSERT_EQ(found.bad.size(), 1U);
    EXPECT_EQ(found.bad[0].why, "Input/output error");
  }
  for (const char* call : {"list", "stat"}) {
    Refusing files(call, "");
    const test::FilesReplaced replaced(files);
    EXPECT_EQ(refusal(), folder_.path().string() + ": Input/output error") << call;
  }
  EXPECT_EQ(test::message_of<IoError>([&] { static_cast<void>(list_folder(folder_ / "b.png")); }),
            (folder_ / "b.png").string() + " is no folder");
}

TEST_F(Listed, AreSixtyFourFoldersWithinEachOther) {
  fs::path deep = "d";
  for (int i = 1; i < 66; ++i) deep /= "d";
  put(deep / "a.png");
  put("b.png");
  const Listing found = list_folder(folder_.path());
  EXPECT_EQ(found.files.size(), 1U);
  ASSERT_EQ(found.bad.size(), 1U);
  EXPECT_EQ(found.bad[0].why, "more than 64 folders within each other");
}

// ---- the cache of scans

class Environment {
 public:
  Environment(const char* name, const std::optional<std::string>& value) : name_(name) {
    if (const char* was = std::getenv(name)) was_ = was;
    set(value);
  }
  ~Environment() { set(was_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  void set(const std::optional<std::string>& value) const {
    if (value) {
      ::setenv(name_, value->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  const char* name_;
  std::optional<std::string> was_;
};

const ListedFile kFile = {"a picture.png", 12, 34};
const Dataset::Source::Facts kFacts = {5, 6, "digest"};

TEST(ScanCache, KnowsAFileBySizeAndTime) {
  const ScratchFolder folder;
  const Environment cache("XDG_CACHE_HOME", (folder / "cache").string());
  const ListedFile other = {"other.png", 1, 2};
  ScanCache(folder.path()).write({{&kFile, &kFacts}, {&other, nullptr}});
  const ScanCache known(folder.path());
  ASSERT_NE(known.find(kFile), nullptr);
  EXPECT_EQ(known.find(kFile)->height, 5);
  EXPECT_EQ(known.find(kFile)->width, 6);
  EXPECT_EQ(known.find(kFile)->digest, "digest");
  EXPECT_EQ(known.find(other), nullptr);
  EXPECT_EQ(known.find({kFile.path, 13, 34}), nullptr);
  EXPECT_EQ(known.find({kFile.path, 12, 35}), nullptr);
  EXPECT_EQ(ScanCache(folder / "cache").find(kFile), nullptr) << "another folder";
}

// With the right sum behind it, so that the lines themselves are looked at.
TEST(ScanCache, KnowsNothingOfAFileThatIsNone) {
  const ScratchFolder folder;
  const Environment cache("XDG_CACHE_HOME", (folder / "cache").string());
  ScanCache(folder.path()).write({});
  const fs::path path = ScanCache(folder.path()).path();
  std::string heading = read_text(path);
  heading.resize(heading.size() - 64);
  const std::string good = std::string("12 34 5 6 digest a picture.png") + '\0';
  const auto knows = [&](const std::string& text) {
    write_file(path, text + sha256_of(text));
    return ScanCache(folder.path()).find(kFile) != nullptr;
  };
  EXPECT_TRUE(knows(heading + good));
  for (const char* line : {"12", "x ", "12 x ", "12 34 x ", "12 34 5 x ", "12 34 5 6 digest",
                           "12 34 5 6 digest a", "12 34 5 99999999999999999999 ", " "})
    EXPECT_FALSE(knows(heading + good + line)) << line;
  EXPECT_FALSE(knows("resnet pictures 0, another\n" + good));
  write_file(path, heading + good + std::string(64, '0'));
  EXPECT_EQ(ScanCache(folder.path()).find(kFile), nullptr) << "another sum";
  write_file(path, "short");
  EXPECT_EQ(ScanCache(folder.path()).find(kFile), nullptr);
  fs::remove(path);
  fs::create_directory(path);
  EXPECT_EQ(ScanCache(folder.path()).find(kFile), nullptr) << "a folder in its place";
  ScanCache(folder.path()).write({{&kFile, &kFacts}});
  EXPECT_TRUE(fs::is_directory(path)) << "which stays";
}

TEST(ScanCache, HasAPlaceWhereTheEnvironmentGivesOne) {
  const ScratchFolder folder;
  const Environment cache("XDG_CACHE_HOME", std::nullopt);
  {
    const Environment home("HOME", "/home/somebody");
    EXPECT_EQ(cache_folder(), "/home/somebody/.cache/resnet");
    const Environment relative("XDG_CACHE_HOME", "relative");
    EXPECT_EQ(cache_folder(), "/home/somebody/.cache/resnet") << "as the convention has it";
  }
  EXPECT_EQ(ScanCache(folder / "none").path(), "") << "a folder that is not there";
  for (const std::optional<std::string>& home : {std::optional<std::string>(), {"relative"}}) {
    const Environment none("HOME", home);
    EXPECT_EQ(cache_folder(), "");
    const ScanCache nowhere(folder.path());
    EXPECT_EQ(nowhere.path(), "");
    nowhere.write({{&kFile, &kFacts}});
    EXPECT_EQ(nowhere.find(kFile), nullptr);
  }
}

}  // namespace
}  // namespace resnet::data

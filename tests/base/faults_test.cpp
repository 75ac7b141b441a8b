// Every call to the file system fails once, in every way: what was there or what comes is whole, nothing else
// is left behind, and the error says what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/files.h"
#include "support/faulty_files.h"
#include "support/simulated_disk.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;
using test::Tried;

const fs::path kFolder = fs::path(test::kDisk) / "run";
const fs::path kFile = kFolder / "file";

std::vector<std::string> names() {
  std::error_code error;
  std::vector<std::string> result;
  for (const fs::path& name : list_names(kFolder, error)) result.push_back(name.string());
  EXPECT_FALSE(error);
  return result;
}

std::string text(char letter) {
  return std::string(5000, letter);
}

class Faults : public testing::Test {
 protected:
  // The folder with the old file alone.
  static void prepare() {
    make_directories(kFolder);
    remove_folder(kFolder / "a" / "b");
    remove_folder(kFolder / "a");
    for (const std::string& name : names()) EXPECT_TRUE(remove_file(kFolder / name));
    write_file(kFile, text('o'));
  }
  void loop(const std::function<void()>& body, const std::function<void(const Tried&)>& check) {
    std::printf("%ld calls have failed\n", static_cast<long>(test::for_each_fault(prepare, body, check)));
    EXPECT_EQ(disk_.open_descriptors(), 0U);
  }
  // Old or new, new where that was said; and no other file, unless the disk failed for good.
  static void check_written(const Tried& tried) {
    const std::string now = read_text(kFile);
    EXPECT_TRUE(now == text('n') || (!tried.done && now == text('o'))) << tried << "; " << now.substr(0, 20);
    const std::size_t most = tried.fault.lasts == test::Fault::every_call ? 2 : 1;
    EXPECT_LE(names().size(), most) << tried;
  }

  test::SimulatedDisk disk_{file_system()};
  test::FilesReplaced replaced_{disk_};
};

TEST_F(Faults, OfWritingAFile) {
  loop([] { write_file(kFile, text('n')); }, check_written);
}

TEST_F(Faults, OfWritingAndReadingBack) {
  const std::string bytes = text('n');
  const std::vector<std::span<const std::byte>> parts = {
      std::as_bytes(std::span(bytes).first(1000)), {}, std::as_bytes(std::span(bytes).subspan(1000))};
  loop([&] { write_file(kFile, parts, Durability::read_back); }, check_written);
}

TEST_F(Faults, OfReadingAFile) {
  std::string got;
  loop([&] { got = read_text(kFile); },
       [&](const Tried& tried) { EXPECT_TRUE(!tried.done || got == text('o')) << tried; });
}

TEST_F(Faults, OfAppending) {
  bool whole = false;
  const std::string line = "a line\n";
  loop(
      [&] {
        whole = false;
        AppendedFile file(kFile);
        whole = file.append(line);
      },
      [&](const Tried& tried) {
        const std::string now = read_text(kFile);
        const bool dead = tried.fault.lasts == test::Fault::every_call;  // half a line stays
        EXPECT_TRUE(now == text('o') + (whole ? line : "") || (dead && (text('o') + line).starts_with(now)))
            << tried;
        EXPECT_THAT(names(), testing::ElementsAre("file"));
      });
}

// With the folders that it makes. Whatever failed, the next one has it.
TEST_F(Faults, OfLockingAFolder) {
  const fs::path inner = kFolder / "a" / "b";
  loop([&] { const FolderLock lock(inner); },
       [&](const Tried& tried) { EXPECT_TRUE(FolderLock(inner).held()) << tried; });
}

TEST_F(Faults, OfMakingAFile) {
  const fs::path path = kFolder / "new";
  bool made = false;
  loop([&] { made = false, made = make_new_file(path); },
       [&](const Tried& tried) { EXPECT_TRUE(!tried.done || (made && read_text(path).empty())) << tried; });
}

TEST_F(Faults, OfLookingAtAFolder) {
  bool exists = false;
  std::vector<fs::path> list;
  std::error_code error;
  loop(
      [&] {
        list = list_names(kFolder, error);
        exists = path_exists(kFile);
      },
      [&](const Tried& tried) {
        EXPECT_TRUE(!tried.done || exists) << tried;
        EXPECT_TRUE(error || list == std::vector<fs::path>{"file"}) << tried;
      });
}

// A disk that keeps other bytes than it was given, without a word.
class Forgetful final : public test::PassedOn {
 public:
  using PassedOn::PassedOn;
  ssize_t write(int fd, const void* bytes, std::size_t size) noexcept override {
    std::string other(static_cast<const char*>(bytes), size);
    if (size > 4000) other[4000] = '!';
    return under_.write(fd, other.data(), size);
  }
};

TEST_F(Faults, OtherBytesThanWereWrittenDoNotTakeThePlaceOfTheOld) {
  prepare();
  const std::string bytes = text('n');
  const std::vector<std::span<const std::byte>> parts = {std::as_bytes(std::span(bytes))};
  Forgetful forgetful(disk_);
  const test::FilesReplaced replaced(forgetful);
  try {
    write_file(kFile, parts, Durability::read_back);
    ADD_FAILURE() << "nobody noticed";
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("other bytes are read back than were written"));
    EXPECT_NE(error.hint(), "");
  }
  EXPECT_EQ(read_text(kFile), text('o'));
  EXPECT_THAT(names(), testing::ElementsAre("file"));
  write_file(kFile, parts);  // nobody looks
  EXPECT_NE(read_text(kFile), text('n'));
}

}  // namespace
}  // namespace resnet

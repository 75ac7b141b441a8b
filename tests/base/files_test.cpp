// Files: written whole or not at all, and errors that say what failed and what to do.
#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "resnet/error.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;

// What an IoError says, or "" if there is none.
template <class F>
std::pair<std::string, std::string> io_error(F doing) {
  try {
    doing();
  } catch (const IoError& error) {
    return {error.what(), error.hint()};
  }
  return {};
}

TEST(WriteFile, ReplacesTheWholeFileAndLeavesNothingElseBehind) {
  const ScratchFolder folder;
  write_file(folder / "a.txt", "a longer text");
  write_file(folder / "a.txt", "short");
  EXPECT_EQ(read_text(folder / "a.txt"), "short");
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(WriteFile, WritesPartsOneAfterTheOther) {
  const ScratchFolder folder;
  const std::string one = "one,";
  const std::string two = "two";
  const std::array<std::span<const std::byte>, 3> parts = {
      std::as_bytes(std::span(one)), {}, std::as_bytes(std::span(two))};
  write_file(folder / "parts", parts);
  EXPECT_EQ(read_text(folder / "parts"), "one,two");
}

TEST(WriteFile, ThatFailsKeepsTheOldFileAndRemovesItsTemporary) {
  const ScratchFolder folder;
  write_file(folder / "a.bin", "old");
  // The file size limit plays the full disk.
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 1024;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto [what, hint] = io_error([&] { write_file(folder / "a.bin", std::string(1 << 16, 'x')); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(what, "cannot write " + (folder / "a.bin").string() + ": File too large");
  EXPECT_NE(hint, "");
  EXPECT_EQ(read_text(folder / "a.bin"), "old");
  EXPECT_EQ(folder.entries(), 1U);
}

// The device that is always full. Root works on a copy of it: root could rename over the real one.
fs::path full_device(const ScratchFolder& folder) {
  if (::geteuid() != 0) return "/dev/full";
  fs::path path = folder / "full";
  constexpr mode_t kMode = S_IFCHR | 0666;
  return ::mknod(path.c_str(), kMode, makedev(1, 7)) == 0 ? path : fs::path();
}

TEST(WriteFile, SaysWhenTheDiskIsFull) {
  const ScratchFolder folder;
  const fs::path full = full_device(folder);
  if (!fs::is_character_file(full)) GTEST_SKIP() << "no device that is always full";
  const auto [what, hint] = io_error([&] { write_file(full, "x"); });
  EXPECT_EQ(what, "cannot write " + full.string() + ": No space left on device");
  EXPECT_EQ(hint, "the disk is full: free some space, or give another folder");
  EXPECT_TRUE(fs::is_character_file(full)) << "a file took the place of the device";
}

TEST(WriteFile, IntoAFolderThatIsMissingIsAnErrorWithThePath) {
  const ScratchFolder folder;
  const fs::path path = folder.path() / "missing" / "a.txt";
  const auto [what, hint] = io_error([&] { write_file(path, "x"); });
  EXPECT_EQ(what, "cannot write " + path.string() + ": No such file or directory");
  EXPECT_EQ(hint, "check the path");
}

TEST(WriteFile, SaysWhenPermissionIsMissing) {
  // Nobody may make files in /sys, not even root.
  const auto [what, hint] = io_error([] { write_file("/sys/resnet_test", "x"); });
  EXPECT_TRUE(what.starts_with("cannot write /sys/resnet_test: ")) << what;
  EXPECT_EQ(hint, "check the permissions, or give another folder");
}

TEST(WriteFile, DoesNotTakeThePlaceOfAFolder) {
  const ScratchFolder folder;
  EXPECT_NE(io_error([&] { write_file(folder.path(), "x"); }).first.find("Is a directory"),
            std::string::npos);
  EXPECT_TRUE(fs::is_directory(folder.path()));
}

TEST(WriteFile, FollowsALink) {
  const ScratchFolder folder;
  write_file(folder / "real", "old");
  fs::create_symlink("real", folder / "link");
  write_file(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_text(folder / "real"), "new");
}

TEST(WriteFile, FromSeveralThreadsGivesOneOfTheTexts) {
  const ScratchFolder folder;
  const std::array<std::string, 3> texts = {std::string(100'000, 'a'), std::string(100'000, 'b'),
                                            std::string(100'000, 'c')};
  std::vector<std::thread> threads;
  for (const std::string& text : texts) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) write_file(folder / "shared", text);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_NE(std::find(texts.begin(), texts.end(), read_text(folder / "shared")), texts.end());
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(ReadFile, RefusesMoreBytesThanItsLimit) {
  const ScratchFolder folder;
  write_file(folder / "five", "12345");
  EXPECT_EQ(read_file(folder / "five", 5).size(), 5U);
  EXPECT_THROW(read_file(folder / "five", 4), FormatError);
  EXPECT_THROW(read_file("/dev/zero", 100'000), FormatError);  // no size, no end
}

TEST(ReadFile, ReadsAPipeToItsEnd) {
  const ScratchFolder folder;
  const fs::path pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::string text(300'000, 'p');
  std::thread writer([&] { write_file(pipe, text); });
  EXPECT_EQ(read_text(pipe), text);
  writer.join();
  EXPECT_TRUE(fs::is_fifo(pipe));
}

TEST(ReadFile, SaysWhatIsMissingOrAFolder) {
  const ScratchFolder folder;
  const auto [what, hint] = io_error([&] { read_file(folder / "missing"); });
  EXPECT_EQ(what, "cannot read " + (folder / "missing").string() + ": No such file or directory");
  EXPECT_EQ(hint, "check the path");
  EXPECT_NE(io_error([&] { read_file(folder.path()); }).first.find("Is a directory"), std::string::npos);
}

TEST(MakeDirectories, MakesAllOfThemAndMindsNotIfTheyAreThere) {
  const ScratchFolder folder;
  make_directories(folder.path() / "a" / "b");
  make_directories(folder.path() / "a" / "b");
  EXPECT_TRUE(fs::is_directory(folder.path() / "a" / "b"));
  write_file(folder / "file", "x");
  EXPECT_NE(io_error([&] { make_directories(folder / "file"); }).first, "");
}

TEST(PathExists, IsFalseForWhatIsMissingAndAnErrorWhereTheSystemDoesNotSay) {
  const ScratchFolder folder;
  write_file(folder / "file", "x");
  EXPECT_TRUE(path_exists(folder / "file"));
  EXPECT_TRUE(path_exists(folder.path()));
  EXPECT_FALSE(path_exists(folder / "missing"));
  EXPECT_FALSE(path_exists(folder.path() / "file" / "below"));
  fs::create_symlink("loop", folder / "loop");
  EXPECT_NE(io_error([&] { path_exists(folder / "loop"); }).first, "");
}

}  // namespace
}  // namespace resnet

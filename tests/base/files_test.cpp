// Files: written whole or not at all, and errors that say what failed and what to do.
#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

#include "resnet/error.h"
#include "support/in_child.h"
#include "support/passed_on.h"
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

// Who trains on in a stranger's folder shall not write where its links lead.
TEST(WriteFile, InAKnownFolderReplacesLinksAndPipes) {
  const ScratchFolder folder;
  const KnownFolder known(folder.path());
  write_file(folder / "real", "old");
  fs::create_symlink("real", folder / "link");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_directory(folder / "inner");
  for (const char* name : {"link", "pipe", "new"}) {
    write_file(folder / name, "new", &known);
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(folder / name))) << name;
    EXPECT_EQ(read_text(folder / name), "new") << name;
  }
  EXPECT_EQ(read_text(folder / "real"), "old");
  EXPECT_NE(io_error([&] { write_file(folder / "inner", "x", &known); }).first.find("Is a directory"),
            std::string::npos);
}

TEST(WriteFile, MakesWhatALinkLeadsToWithTheRightsOfANewFile) {
  const ScratchFolder folder;
  const mode_t before = ::umask(0022);
  fs::create_symlink("next", folder / "link");
  fs::create_symlink(folder / "real", folder / "next");
  write_file(folder / "link", "new");
  ::umask(before);
  EXPECT_TRUE(fs::is_symlink(folder / "link") && fs::is_symlink(folder / "next"));
  EXPECT_EQ(read_text(folder / "real"), "new");
  EXPECT_EQ(fs::status(folder / "real").permissions(), static_cast<fs::perms>(0644));
  fs::create_symlink("loop", folder / "loop");
  EXPECT_NE(io_error([&] { write_file(folder / "loop", "new"); }).first.find("Too many levels"),
            std::string::npos);
}

TEST(WriteFile, WritesIntoAnOpenPipeThatHasNoNameOfItsOwn) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  write_file("/proc/self/fd/" + std::to_string(ends[1]), "some text");  // as /dev/stdout leads there
  std::array<char, 20> text{};
  EXPECT_EQ(::read(ends[0], text.data(), text.size()), 9);
  EXPECT_STREQ(text.data(), "some text");
  for (const int end : ends) ::close(end);
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

mode_t permissions(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 0777U;
}

TEST(WriteFile, KeepsThePermissionsOfAFileThatItReplaces) {
  const ScratchFolder folder;
  const mode_t before = ::umask(0022);
  write_file(folder / "a", "new");
  EXPECT_EQ(permissions(folder / "a"), 0644U);
  for (const mode_t mode : {0600U, 0640U, 0755U, 0666U}) {
    ASSERT_EQ(::chmod((folder / "a").c_str(), mode), 0);
    write_file(folder / "a", "newer");
    EXPECT_EQ(permissions(folder / "a"), mode);
  }
  ::umask(before);
}

TEST(WriteFile, LeavesAnotherNameOfTheFileThatItReplacesAlone) {
  const ScratchFolder folder;
  write_file(folder / "a", "old");
  fs::create_hard_link(folder / "a", folder / "other name");
  write_file(folder / "a", "new");
  EXPECT_EQ(read_text(folder / "other name"), "old");
}

TEST(WriteFile, WritesIntoNothingThatWasPutUnderANameBeforehand) {
  const ScratchFolder folder;
  write_file(folder / "victim", "precious");
  const auto guess = [&](int i) {
    return folder / (".a.tmp" + std::to_string(::getpid()) + "." + std::to_string(i));
  };
  for (int i = 0; i < 1000; ++i) fs::create_hard_link(folder / "victim", guess(i));
  write_file(folder / "a", "new");
  EXPECT_EQ(read_text(folder / "victim"), "precious");
  EXPECT_EQ(folder.entries(), 1002U);
}

// The names that appear in the folder while it is written to, by the kernel's account.
TEST(WriteFile, NamesItsTemporariesSoThatNobodyForeseesThem) {
  const ScratchFolder folder;
  const int watch = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (watch < 0 || ::inotify_add_watch(watch, folder.path().c_str(), IN_CREATE) < 0) {
    GTEST_SKIP() << "no inotify";
  }
  const std::string longest(255, 'n');  // a name of the target's length and more could not be made
  for (int i = 0; i < 3; ++i) write_file(folder / longest, "text");
  alignas(inotify_event) std::array<char, 4096> events{};
  const ssize_t bytes = ::read(watch, events.data(), events.size());
  ::close(watch);
  std::set<std::string> names;
  for (ssize_t at = 0; at < bytes;) {
    const auto* event = reinterpret_cast<const inotify_event*>(events.data() + at);
    names.insert(event->name);
    at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
  }
  EXPECT_EQ(names.size(), 3U);
  for (const std::string& name : names) {
    EXPECT_TRUE(name.starts_with(".resnet-") &&
                name.size() == std::string(".resnet-0123456789abcdef.tmp").size())
        << name;
  }
}

// The child writes without a pause: a signal nearly always finds it with a temporary file.
TEST(WriteFile, LeavesNoTemporaryWhereASignalEndsTheProgram) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGTERM}) {
    const ScratchFolder folder;
    const std::string text(1 << 21, 'x');
    const pid_t child = ::fork();
    if (child == 0) {
      std::signal(signal, SIG_DFL);  // a test that runs in the background has SIGINT ignored
      while (true) write_file(folder / "a.txt", text);
    }
    while (!fs::exists(folder / "a.txt")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    ::kill(child, signal);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal);
    EXPECT_EQ(folder.entries(), 1U);
    EXPECT_EQ(read_text(folder / "a.txt"), text);
  }
}

TEST(AppendedFile, GrowsAtItsEndWhoeverElseWrites) {
  const ScratchFolder folder;
  write_file(folder / "log", "one\n");
  AppendedFile first(folder / "log");
  AppendedFile second(folder / "log");
  EXPECT_TRUE(first.append("two\n"));
  EXPECT_TRUE(second.append("three\n"));
  EXPECT_TRUE(first.append("four\n"));
  EXPECT_EQ(read_text(folder / "log"), "one\ntwo\nthree\nfour\n");
}

TEST(AppendedFile, RefusesWhatIsMissingALinkOrNoRegularFile) {
  const ScratchFolder folder;
  write_file(folder / "real", "text");
  fs::create_symlink("real", folder / "link");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  for (const char* name : {"missing", "link", "pipe", "."}) {
    const auto [what, hint] = io_error([&] { const AppendedFile file(folder / name); });
    EXPECT_TRUE(what.starts_with("cannot append to " + (folder / name).string() + ": ")) << what;
  }
  EXPECT_EQ(read_text(folder / "real"), "text");
}

TEST(AppendedFile, DoesNotBecomeAStandardStreamThatIsClosed) {
  const ScratchFolder folder;
  write_file(folder / "log", "");
  EXPECT_EXIT(
      {
        for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(stream);
        AppendedFile log(folder / "log");
        const InputFile input(folder / "log");
        for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
          if (::write(stream, "for people", 10) >= 0) test::leave_child(1);
        }
        test::leave_child(log.append("figures") ? 0 : 2);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_EQ(read_text(folder / "log"), "figures");
}

TEST(FolderLock, IsHeldByOneAtATime) {
  const ScratchFolder folder;
  const fs::path run = folder.path() / "runs" / "a";
  {
    const FolderLock lock(run);
    EXPECT_TRUE(lock.made());
    if (!lock.held()) GTEST_SKIP() << "this file system locks no folders";
    const auto [what, hint] = io_error([&] { const FolderLock other(run); });
    EXPECT_EQ(what, "another process is writing to " + run.string());
    EXPECT_EQ(hint, "wait for it, or give another folder");
  }
  const FolderLock again(run);
  EXPECT_FALSE(again.made());
  EXPECT_TRUE(again.held());
}

TEST(FolderLock, KnowsThatItsFolderIsNoLongerThere) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  const FolderLock lock(run);
  EXPECT_FALSE(lock.folder().is_gone());
  fs::rename(run, folder / "moved");
  EXPECT_TRUE(lock.folder().is_gone());
  fs::create_directory(run);  // another one in its place
  EXPECT_EQ(lock.folder().is_gone(), lock.held());
  fs::remove(run);
  fs::rename(folder / "moved", run);
  EXPECT_FALSE(lock.folder().is_gone());
  fs::remove(run);
  EXPECT_TRUE(lock.folder().is_gone());
}

// Before the call with a number, counted from 0, another folder takes the place of the one that is written
// to.
class Exchanged final : public test::PassedOn {
 public:
  Exchanged(FileSystem& under, fs::path folder, int call)
      : PassedOn(under), folder_(std::move(folder)), left_(call) {}
  bool done() const { return left_ < 0; }

 protected:
  bool refuses(const char*) noexcept override {
    if (left_-- != 0) return false;
    fs::rename(folder_, folder_.string() + " moved");
    fs::create_directory(folder_);
    std::ofstream(folder_ / "file") << "another's";
    return false;
  }

 private:
  fs::path folder_;
  int left_;
};

TEST(KnownFolder, AnotherInItsPlaceIsNotWrittenToWheneverItComes) {
  int calls = 0;
  for (bool exchanged = true; exchanged; ++calls) {
    const ScratchFolder scratch;
    const fs::path run = scratch / "run";
    make_directories(run);
    write_file(run / "file", "old");
    const KnownFolder known(run);
    bool failed = false;
    {
      Exchanged files(file_system(), run, calls);
      const test::FilesReplaced replaced(files);
      failed = !io_error([&] { write_file(run / "file", "new", &known); }).first.empty();
      exchanged = files.done();
    }
    EXPECT_EQ(known.is_gone(), exchanged);
    std::error_code error;
    EXPECT_EQ(list_names(run, error).size(), 1U) << "call " << calls;
    EXPECT_EQ(read_text(run / "file"), exchanged ? "another's" : "new") << "call " << calls;
    if (!exchanged) EXPECT_FALSE(failed);
    if (exchanged && !failed) EXPECT_EQ(read_text(scratch / "run moved" / "file"), "new") << "call " << calls;
  }
  EXPECT_GT(calls, 8);
}

TEST(FolderLock, IsReleasedByTheSystemWhenItsProcessIsKilled) {
  const ScratchFolder folder;
  if (!FolderLock(folder.path()).held()) GTEST_SKIP() << "this file system locks no folders";
  const pid_t child = ::fork();
  if (child == 0) {
    const FolderLock lock(folder.path());
    write_file(folder / "held", "");
    ::pause();
  }
  while (!path_exists(folder / "held")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_NE(io_error([&] { const FolderLock other(folder.path()); }).first, "");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(FolderLock(folder.path()).held());
}

TEST(MakeNewFile, MakesItOnce) {
  const ScratchFolder folder;
  EXPECT_TRUE(make_new_file(folder / "a"));
  EXPECT_FALSE(make_new_file(folder / "a"));
  EXPECT_NE(io_error([&] { make_new_file(folder.path() / "missing" / "a"); }).first, "");
}

TEST(Unexpanded, HintsAtATildeThatTheShellLeft) {
  EXPECT_NE(unexpanded("~/data"), "");
  EXPECT_NE(unexpanded("~"), "");
  for (const char* path : {"", "data", "/~/data", "./~/data", "~data", "data/~"})
    EXPECT_EQ(unexpanded(path), "") << path;
  EXPECT_EQ(io_error([] { make_directories("~/resnet_test"); }).second, unexpanded("~/resnet_test"));
  EXPECT_EQ(io_error([] { read_file("~/resnet_test"); }).second, unexpanded("~/resnet_test"));
  EXPECT_FALSE(path_exists("~")) << "a folder of that name was made";
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
  EXPECT_TRUE(make_directories(folder.path() / "c" / "d" / ""));
  EXPECT_TRUE(make_directories(folder.path() / "e" / "."));
  EXPECT_TRUE(make_directories(folder.path() / "f" / ".." / "g"));
  EXPECT_FALSE(make_directories("."));
  EXPECT_FALSE(make_directories("/"));
  EXPECT_NE(io_error([] { make_directories(""); }).first, "");
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

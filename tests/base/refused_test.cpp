// What a file system may refuse, or do otherwise than most, where a fault loop does not get to: single calls
// with an error of their own.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/descriptor.h"
#include "base/files.h"
#include "resnet/error.h"
#include "support/passed_on.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;

// The calls of one name fail: all, or so many after the first `passed` of them.
class Refusing final : public test::PassedOn {
 public:
  Refusing(std::string call, int error, int passed = 0, int times = 1 << 20)
      : PassedOn(file_system()), call_(std::move(call)), error_(error), passed_(passed), times_(times) {}
  int refused() const { return refused_; }

 protected:
  bool refuses(const char* call) noexcept override {
    if (call_ != call || passed_-- > 0 || refused_ == times_) return false;
    ++refused_;
    errno = error_;
    return true;
  }

 private:
  std::string call_;
  int error_, passed_, times_;
  int refused_ = 0;
};

// The message and the hint, or nothing where it was done.
template <class Body>
std::pair<std::string, std::string> refusal(FileSystem& files, const Body& body) {
  const test::FilesReplaced replaced(files);
  try {
    body();
  } catch (const IoError& error) {
    return {error.what(), error.hint()};
  }
  return {};
}

TEST(Refused, HintsAtWhatCanBeDone) {
  const ScratchFolder folder;
  write_file(folder / "file", "x");
  const auto hint = [&](int error) {
    Refusing files("open", error);
    return refusal(files, [&] { read_file(folder / "file"); }).second;
  };
  for (const int error : {ENOENT, ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG, EEXIST})
    EXPECT_EQ(hint(error), "check the path") << error;
  for (const int error : {EACCES, EPERM, EROFS})
    EXPECT_EQ(hint(error), "check the permissions, or give another folder") << error;
  for (const int error : {ENOSPC, EDQUOT})
    EXPECT_EQ(hint(error), "the disk is full: free some space, or give another folder") << error;
  EXPECT_EQ(hint(EFBIG), "the file exceeds a limit of the file system or of `ulimit -f`");
  for (const int error : {EMFILE, ENFILE})
    EXPECT_EQ(hint(error), "too many files are open: raise `ulimit -n`") << error;
  EXPECT_TRUE(hint(EIO).starts_with("the disk or the connection to it fails: "));
  EXPECT_TRUE(hint(ETXTBSY).starts_with("the file system does not do it: "));
}

TEST(Refused, DiskThatTakesNoByteIsAnError) {
  class Takes final : public test::PassedOn {
   public:
    Takes() : PassedOn(file_system()) {}
    ssize_t write(int, const void*, std::size_t) noexcept override { return 0; }
  } files;
  const ScratchFolder folder;
  write_file(folder / "file", "old");
  EXPECT_EQ(refusal(files, [&] { write_file(folder / "file", "new"); }).first,
            "cannot write " + (folder / "file").string() + ": Input/output error");
  EXPECT_EQ(read_text(folder / "file"), "old");
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(Refused, DiskThatLosesTheEndOfAFileIsAnError) {
  class Loses final : public test::PassedOn {
   public:
    Loses() : PassedOn(file_system()) {}
    ssize_t pread(int fd, void* out, std::size_t size, off_t at) noexcept override {
      return at > 0 ? 0 : PassedOn::pread(fd, out, size / 2, at);
    }
  } files;
  const ScratchFolder folder;
  write_file(folder / "file", "old");
  const std::string text(100, 'n');
  const std::vector<std::span<const std::byte>> parts = {std::as_bytes(std::span(text))};
  const auto write = [&] { write_file(folder / "file", parts, Durability::read_back); };
  EXPECT_NE(refusal(files, write).first.find("other bytes are read back"), std::string::npos);
  EXPECT_EQ(read_text(folder / "file"), "old");
}

TEST(Refused, NameOfATemporaryThatIsTakenGivesWayToAnother) {
  const ScratchFolder folder;
  Refusing files("open", EEXIST, 0, 3);
  EXPECT_EQ(refusal(files, [&] { write_file(folder / "file", "new"); }).first, "");
  EXPECT_EQ(files.refused(), 3);
  EXPECT_EQ(read_text(folder / "file"), "new");
}

// Who owns the old file, and whether this process may give one away.
class Owners final : public test::PassedOn {
 public:
  enum class May { all, only_group, nothing };
  Owners(May may, uid_t user, gid_t group) : PassedOn(file_system()), may_(may), user_(user), group_(group) {}
  int lstat(const char* path, struct stat* status) noexcept override {
    const int result = PassedOn::lstat(path, status);
    status->st_uid += user_;
    status->st_gid += group_;
    return result;
  }
  int fchown(int, uid_t owner, gid_t) noexcept override {
    ++asked;
    if (may_ == May::all || (may_ == May::only_group && owner == static_cast<uid_t>(-1))) return 0;
    errno = EPERM;
    return -1;
  }
  int fchmod(int fd, mode_t mode) noexcept override {
    given = mode;
    return PassedOn::fchmod(fd, mode);
  }
  int asked = 0;
  mode_t given = 0;

 private:
  May may_;
  uid_t user_;
  gid_t group_;
};

// What the old group might do is not for another one.
TEST(Refused, FileOfAnotherOwnerIsReplacedWithNoRightForAnotherGroup) {
  const struct {
    Owners::May may;
    uid_t user;
    gid_t group;
    int asked;
    mode_t mode;
  } cases[] = {{Owners::May::all, 0, 0, 0, 0664},        {Owners::May::all, 1, 1, 1, 0664},
               {Owners::May::only_group, 1, 1, 2, 0664}, {Owners::May::nothing, 1, 0, 2, 0664},
               {Owners::May::nothing, 0, 1, 2, 0604},    {Owners::May::nothing, 1, 1, 2, 0604}};
  for (const auto& c : cases) {
    const ScratchFolder folder;
    write_file(folder / "file", "old");
    fs::permissions(folder / "file", static_cast<fs::perms>(0664));
    Owners files(c.may, c.user, c.group);
    EXPECT_EQ(refusal(files, [&] { write_file(folder / "file", "new"); }).first, "");
    EXPECT_EQ(files.asked, c.asked) << static_cast<int>(c.may) << c.user << c.group;
    EXPECT_EQ(files.given, c.mode) << static_cast<int>(c.may) << c.user << c.group;
    EXPECT_EQ(read_text(folder / "file"), "new");
  }
}

TEST(Refused, FolderThatCannotBeFlushedKeepsItsFile) {
  for (const int error : {EINVAL, ENOTSUP}) {  // of the folder; the file before it is flushed
    const ScratchFolder folder;
    Refusing files("fsync", error, 1);
    EXPECT_EQ(refusal(files, [&] { write_file(folder / "file", "new"); }).first, "") << error;
    EXPECT_EQ(files.refused(), 1);
    EXPECT_EQ(read_text(folder / "file"), "new");
  }
  const ScratchFolder folder;
  Refusing unreadable("open", EACCES, 1);  // a folder that may be written to, not read
  EXPECT_EQ(refusal(unreadable, [&] { write_file(folder / "file", "new"); }).first, "");
  EXPECT_EQ(unreadable.refused(), 1);
}

TEST(Refused, FolderThatMayNotBeReadIsKnownByItsPath) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  fs::create_directory(run);
  Refusing files("open", EACCES);
  std::optional<KnownFolder> known;
  EXPECT_EQ(refusal(files, [&] { known.emplace(run); }).first, "");
  EXPECT_FALSE(known->is_gone());
  std::optional<FolderLock> lock;
  EXPECT_EQ(refusal(files, [&] { lock.emplace(run); }).first, "");
  EXPECT_FALSE(lock->held());
  EXPECT_FALSE(lock->folder().is_gone());
  fs::remove(run);
  EXPECT_TRUE(known->is_gone());
  EXPECT_TRUE(lock->folder().is_gone());
  Refusing failing("open", EIO);
  EXPECT_NE(refusal(failing, [&] { const KnownFolder gone(folder.path()); }).first, "");
}

TEST(Refused, LockIsNoneWhereTheFileSystemHasNone) {
  const ScratchFolder folder;
  Refusing files("flock", EOPNOTSUPP);
  EXPECT_EQ(refusal(files, [&] { EXPECT_FALSE(FolderLock(folder / "run").held()); }).first, "");
  EXPECT_TRUE(FolderLock(folder / "run").held());
}

TEST(Refused, LockOfAFolderThatIsTakenAwayAgainAndAgainEnds) {
  class TakesAway final : public test::PassedOn {
   public:
    TakesAway(fs::path folder, const char* before, int times)
        : PassedOn(file_system()), folder_(std::move(folder)), before_(before), left_(times) {}
    int left() const { return left_; }

   protected:
    bool refuses(const char* call) noexcept override {
      if (std::string(call) == before_ && left_ > 0 && fs::remove(folder_)) --left_;
      return false;
    }

   private:
    fs::path folder_;
    std::string before_;
    int left_;
  };
  for (const char* before : {"open", "flock"}) {
    const ScratchFolder folder;
    TakesAway thrice(folder / "run", before, 3);
    EXPECT_EQ(refusal(thrice, [&] { EXPECT_TRUE(FolderLock(folder / "run").held()); }).first, "");
    EXPECT_EQ(thrice.left(), 0);
    TakesAway always(folder / "run", before, 1 << 20);
    EXPECT_EQ(refusal(always, [&] { const FolderLock lock(folder / "run"); }).first,
              "cannot lock the folder " + (folder / "run").string() + ": No such file or directory");
  }
}

TEST(Refused, FolderThatAnotherProcessMakesAtTheSameTimeIsThere) {
  class Both final : public test::PassedOn {
   public:
    Both() : PassedOn(file_system()) {}
    int mkdir(const char* path, mode_t mode) noexcept override {
      PassedOn::mkdir(path, mode);
      errno = EEXIST;
      return -1;
    }
  } files;
  const ScratchFolder folder;
  EXPECT_EQ(refusal(files, [&] { EXPECT_FALSE(make_directories(folder / "run")); }).first, "");
  Refusing other("mkdir", EEXIST);  // a file, or nothing any more
  EXPECT_EQ(refusal(other, [&] { make_directories(folder / "b"); }).first,
            "cannot make the folder " + (folder / "b").string() + ": Not a directory");
  Refusing full("mkdir", ENOSPC);
  EXPECT_NE(refusal(full, [&] { make_directories(folder / "b"); }).first, "");
}

TEST(Refused, ChainOfLinksIsFollowedAsFarAsTheSystemDoes) {
  const ScratchFolder folder;
  constexpr int kMost = 40;
  write_file(folder / "link0", "old");
  for (int i = 1; i <= kMost + 1; ++i)
    fs::create_symlink("link" + std::to_string(i - 1), folder / ("link" + std::to_string(i)));
  write_file(folder / ("link" + std::to_string(kMost)), "new");
  EXPECT_EQ(read_text(folder / "link0"), "new");
  EXPECT_THROW(write_file(folder / ("link" + std::to_string(kMost + 1)), "newer"), IoError);

  class Turning final : public test::PassedOn {  // somebody turns the link while it is followed
   public:
    Turning() : PassedOn(file_system()) {}
    int lstat(const char*, struct stat* status) noexcept override {
      status->st_mode = S_IFLNK;
      return 0;
    }
    int readlink(const char*, std::string& target) override {
      target = "next";
      return 0;
    }
  } files;
  EXPECT_NE(refusal(files, [&] { write_file(folder / "link0", "newer"); }).first.find("Too many levels"),
            std::string::npos);
  EXPECT_EQ(read_text(folder / "link0"), "new");
}

TEST(Refused, FilesAndFoldersAreWhatTheyAre) {
  const ScratchFolder folder;
  write_file(folder / "file", "x");
  fs::create_symlink("file", folder / "link");
  EXPECT_EQ(kind_of(folder / "link"), PathKind::file);
  EXPECT_EQ(kind_of_itself(folder / "link"), PathKind::link);
  EXPECT_EQ(kind_of("/dev/null"), PathKind::other);
  EXPECT_EQ(kind_of(folder / "file" / "x"), PathKind::nothing);
  Refusing files("stat", EIO);
  const test::FilesReplaced replaced(files);
  EXPECT_EQ(kind_of(folder / "file"), PathKind::unknown);
  EXPECT_FALSE(is_there(folder / "file"));
  EXPECT_FALSE(are_same(folder / "file", folder / "file"));
  EXPECT_THROW(path_exists(folder / "file"), IoError);
  EXPECT_THROW(make_directories(folder / "new"), IoError);
}

TEST(Refused, SameFilesHaveTwoNames) {
  const ScratchFolder folder;
  write_file(folder / "a", "x");
  write_file(folder / "b", "x");
  fs::create_hard_link(folder / "a", folder / "again");
  EXPECT_TRUE(are_same(folder / "a", folder / "again"));
  EXPECT_FALSE(are_same(folder / "a", folder / "b"));
  EXPECT_FALSE(are_same(folder / "a", folder / "none"));
  EXPECT_FALSE(are_same("/proc/self/mem", folder / "a")) << "of another file system";
}

TEST(Refused, FreeDiskIsThatOfTheFolderThatWillHoldIt) {
  const ScratchFolder folder;
  EXPECT_GT(free_disk(folder / "not" / "yet"), 0);
  EXPECT_EQ(free_disk(""), 0);
}

TEST(Refused, LinksAreReadAndNothingElse) {
  const ScratchFolder folder;
  write_file(folder / "file", "x");
  std::string target;
  EXPECT_EQ(FileSystem().readlink((folder / "file").c_str(), target), -1);
  fs::create_symlink("file", folder / "link");
  EXPECT_EQ(FileSystem().readlink((folder / "link").c_str(), target), 0);
  EXPECT_EQ(target, "file");
}

TEST(Refused, LinkThatCannotBeFollowedIsAnError) {
  const ScratchFolder folder;
  write_file(folder / "file", "old");
  fs::create_symlink("file", folder / "link");
  Refusing files("readlink", EIO);
  EXPECT_EQ(refusal(files, [&] { write_file(folder / "link", "new"); }).first,
            "cannot write " + (folder / "link").string() + ": Input/output error");
  EXPECT_EQ(read_text(folder / "file"), "old");
  EXPECT_EQ(kind_of_itself(folder / "none"), PathKind::nothing);
}

TEST(Refused, DeviceIsNoFileToAppendTo) {
  FileSystem files;
  EXPECT_EQ(refusal(files, [] { AppendedFile("/dev/null"); }).first,
            "cannot append to /dev/null: File exists");
}

TEST(Refused, RootThatIsNotThereIsNotMade) {
  Refusing files("stat", ENOENT);
  EXPECT_EQ(refusal(files, [] { make_directories("/"); }).first,
            "cannot make the folder /: No such file or directory");
}

TEST(Refused, FolderOfARelativePathIsMadeWhereTheProgramStands) {
  const ScratchFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  EXPECT_NE(unexpanded("~/new"), "");
  EXPECT_TRUE(make_directories("new"));
  EXPECT_FALSE(make_directories("new"));
  fs::create_directory("~");
  EXPECT_EQ(unexpanded("~/new"), "") << "somebody has called a folder so";
  EXPECT_TRUE(remove_folder("new"));
  EXPECT_TRUE(remove_folder("new")) << "it is gone";
  std::error_code error;
  EXPECT_TRUE(list_names("new", error).empty());
  EXPECT_EQ(error, std::errc::no_such_file_or_directory);
  fs::current_path(before);
}

TEST(Refused, WritingToAPipeOrADeviceSaysWhatFails) {
  for (const char* call : {"open", "write", "close"}) {
    Refusing files(call, EIO);
    EXPECT_EQ(refusal(files, [] { write_file("/dev/null", "x"); }).first,
              "cannot write /dev/null: Input/output error")
        << call;
  }
  Refusing unseen("stat", EACCES);
  EXPECT_EQ(refusal(unseen, [] { write_file("/dev/null", "x"); }).first,
            "cannot write /dev/null: Permission denied");
}

}  // namespace
}  // namespace resnet

#include "base/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <system_error>
#include <utility>

#include "resnet/error.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;

std::string hint_for(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EEXIST:
      return "check the path";
    case EACCES:
    case EPERM:
    case EROFS:
      return "check the permissions, or give another folder";
    case ENOSPC:
    case EDQUOT:
      return "the disk is full: free some space, or give another folder";
    case EFBIG:
      return "the file exceeds a limit of the file system or of `ulimit -f`";
    case EMFILE:
    case ENFILE:
      return "too many files are open: raise `ulimit -n`";
    case EIO:
      return "the disk or the connection to it fails: see the system's log, or give another folder";
    default:
      return "";
  }
}

[[noreturn]] void fail(const std::string& doing, const fs::path& path, int error) {
  const std::string tilde = unexpanded(path);
  throw IoError("cannot " + doing + " " + path.string() + ": " + std::generic_category().message(error),
                tilde.empty() ? hint_for(error) : tilde);
}

// An open file that is closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }
  // Closes now; gives 0 or the error.
  int close() noexcept {
    const int result = ::close(fd_);
    fd_ = -1;
    return result == 0 ? 0 : errno;
  }

 private:
  int fd_;
};

// As open(), but never as standard input, output or error, where the program closed one of those: what is
// meant for people would go into the file.
int open_file(const char* path, int flags, mode_t mode = 0) noexcept {
  const int fd = ::open(path, flags | O_CLOEXEC, mode);
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int error = errno;
  ::close(fd);
  errno = error;
  return moved;
}

using Parts = std::span<const std::span<const std::byte>>;

// Writes everything; gives 0 or the error.
int write_all(int fd, Parts parts) {
  for (std::span<const std::byte> bytes : parts) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno;
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  return 0;
}

// Puts the renaming on the disk; gives 0 or the error.
int flush_folder(const fs::path& folder) {
  const Descriptor fd(open_file(folder.c_str(), O_RDONLY | O_DIRECTORY));
  // A folder that may be written but not read, and file systems that cannot flush one: the file itself
  // is on the disk, and there is no more that could be done.
  if (fd.get() < 0) return errno == EACCES ? 0 : errno;
  if (::fsync(fd.get()) == 0 || errno == EINVAL || errno == ENOTSUP) return 0;
  return errno;
}

// Where the bytes really go: the end of a chain of links.
fs::path followed(const fs::path& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return path;
  fs::path end = fs::weakly_canonical(path, error);
  if (error) fail("write", path, error.value());
  return end;
}

// To a device or a pipe, which nothing may take the place of.
void write_through(const fs::path& path, Parts parts) {
  Descriptor fd(open_file(path.c_str(), O_WRONLY | O_NOCTTY));
  if (fd.get() < 0) fail("write", path, errno);
  int error = write_all(fd.get(), parts);
  if (const int closing = fd.close(); error == 0) error = closing;
  if (error != 0) fail("write", path, error);
}

constexpr mode_t kNewFile = 0666;  // narrowed by the umask, as for any file

// A new file beside `target`, under a name that nobody can foresee.
std::pair<fs::path, int> open_temporary(const fs::path& folder, const fs::path& target, mode_t mode) {
  while (true) {
    std::uint64_t number = 0;
    if (::getentropy(&number, sizeof number) != 0) fail("write", target, errno);
    std::array<char, 32> name{};
    static_cast<void>(std::snprintf(name.data(), name.size(), ".resnet-%016" PRIx64 ".tmp", number));
    fs::path path = folder / name.data();
    const int fd = open_file(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    if (fd >= 0) return {std::move(path), fd};
    if (errno != EEXIST) fail("write", target, errno);
  }
}

// Gives `fd` the owner and the permissions of the file that it takes the place of; gives 0 or the error.
int take_over(int fd, const struct stat& old) {
  constexpr mode_t kPermissions = 0777, kGroup = 0070;
  struct stat now {};
  if (::fstat(fd, &now) != 0) return errno;
  mode_t mode = old.st_mode & kPermissions;
  if (now.st_uid != old.st_uid || now.st_gid != old.st_gid) {
    // Only root may give a file away. What the old group might do is not for another group.
    const bool group =
        ::fchown(fd, old.st_uid, old.st_gid) == 0 || ::fchown(fd, static_cast<uid_t>(-1), old.st_gid) == 0;
    if (!group && now.st_gid != old.st_gid) mode &= ~kGroup;
  }
  return ::fchmod(fd, mode) == 0 ? 0 : errno;
}

// Whether the open folder is the one at `path`.
bool is_at(int fd, const fs::path& path) noexcept {
  struct stat mine {
  }, there{};
  return ::fstat(fd, &mine) == 0 && ::stat(path.c_str(), &there) == 0 && mine.st_dev == there.st_dev &&
         mine.st_ino == there.st_ino;
}

// To the disk before it returns, where it is to be `flushed`.
void write_parts(const fs::path& path, Parts parts, bool flushed) {
  // Before links are followed by name: those of /dev/stdout and its like lead to what has no name.
  std::error_code unknown;
  const fs::file_status status = fs::status(path, unknown);
  if (fs::is_directory(status)) fail("write", path, EISDIR);
  if (fs::exists(status) && !fs::is_regular_file(status)) return write_through(path, parts);

  const fs::path target = followed(path);
  const fs::path folder = target.has_parent_path() ? target.parent_path() : ".";
  struct stat old {};
  const bool replaces = ::lstat(target.c_str(), &old) == 0;
  constexpr mode_t kOwnersAlone = 0600;  // until it has the permissions of what it replaces
  const auto [temporary, opened] = open_temporary(folder, path, replaces ? kOwnersAlone : kNewFile);
  Descriptor fd(opened);
  int error = replaces ? take_over(fd.get(), old) : 0;
  // An fsync that failed is not tried again: what it should have kept may be lost already.
  if (error == 0) error = write_all(fd.get(), parts);
  if (error == 0 && flushed && ::fsync(fd.get()) != 0) error = errno;
  if (const int closing = fd.close(); error == 0) error = closing;
  if (error == 0 && ::rename(temporary.c_str(), target.c_str()) != 0) error = errno;
  if (error != 0) {
    static_cast<void>(::unlink(temporary.c_str()));
    fail("write", path, error);
  }
  if (!flushed) return;
  if (const int flushing = flush_folder(folder); flushing != 0) fail("flush the folder of", path, flushing);
}

}  // namespace

InputFile::InputFile(const fs::path& path) : path_(path) {
  Descriptor fd(open_file(path.c_str(), O_RDONLY));
  if (fd.get() < 0) fail("read", path, errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail("read", path, errno);
  if (S_ISDIR(status.st_mode)) fail("read", path, EISDIR);
  size_ = status.st_size;
  fd_ = fd.release();
}

InputFile::~InputFile() {
  ::close(fd_);
}

std::size_t InputFile::read(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::read(fd_, out.data() + done, out.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path_, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

std::vector<std::byte> read_file(const fs::path& path, std::int64_t most) {
  InputFile file(path);
  const auto refuse = [&] {
    throw FormatError(path.string() + " is larger than " + std::to_string(most) + " bytes",
                      "is it the file that was meant?");
  };
  if (file.size() > most) refuse();
  // One byte more than the file should have shows its end; a pipe is read in growing pieces.
  constexpr std::int64_t kLeast = 4096;
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::max(file.size() + 1, kLeast)));
  std::size_t done = 0;
  while (true) {
    done += file.read(std::span(bytes).subspan(done));
    if (done > static_cast<std::size_t>(most)) refuse();
    if (done < bytes.size()) break;
    bytes.resize(2 * bytes.size());
  }
  bytes.resize(done);
  return bytes;
}

std::string read_text(const fs::path& path) {
  constexpr std::int64_t kMost = 16 << 20;
  const std::vector<std::byte> bytes = read_file(path, kMost);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_file(const fs::path& path, Parts parts) {
  write_parts(path, parts, true);
}

void write_file_soon(const fs::path& path, Parts parts) {
  write_parts(path, parts, false);
}

void write_file(const fs::path& path, std::string_view text) {
  const std::array<std::span<const std::byte>, 1> parts = {
      std::as_bytes(std::span(text.data(), text.size()))};
  write_file(path, parts);
}

AppendedFile::AppendedFile(const fs::path& path) {
  Descriptor fd(open_file(path.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) fail("append to", path, errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail("append to", path, errno);
  if (!S_ISREG(status.st_mode)) fail("append to", path, EEXIST);
  fd_ = fd.release();
}

AppendedFile::~AppendedFile() {
  ::close(fd_);
}

bool AppendedFile::append(std::string_view text) noexcept {
  const std::array<std::span<const std::byte>, 1> parts = {
      std::as_bytes(std::span(text.data(), text.size()))};
  return write_all(fd_, parts) == 0;
}

FolderLock::FolderLock(const fs::path& folder) {
  constexpr int kTries = 100;  // each time another process took the folder away between two calls
  for (int i = 0; i < kTries; ++i) {
    made_ = make_directories(folder);
    Descriptor fd(open_file(folder.c_str(), O_RDONLY | O_DIRECTORY));
    if (fd.get() < 0 && errno == ENOENT) continue;
    if (fd.get() < 0 && errno == EACCES) return;  // it may still be written to
    if (fd.get() < 0) fail("open the folder", folder, errno);
    held_ = ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
    if (!held_ && errno == EWOULDBLOCK) {
      throw IoError("another process is writing to " + folder.string(),
                    "wait for it, or give another folder");
    }
    if (!is_at(fd.get(), folder)) continue;
    fd_ = fd.release();
    return;
  }
  fail("lock the folder", folder, ENOENT);
}

bool FolderLock::is_gone(const fs::path& folder) const noexcept {
  return fd_ >= 0 ? !is_at(fd_, folder) : ::access(folder.c_str(), F_OK) != 0;
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) ::close(fd_);
}

bool make_new_file(const fs::path& path) {
  const Descriptor fd(open_file(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kNewFile));
  if (fd.get() < 0 && errno != EEXIST) fail("write", path, errno);
  return fd.get() >= 0;
}

bool make_directories(const fs::path& path) {
  if (!unexpanded(path).empty()) fail("make the folder", path, ENOENT);
  std::error_code error;
  const bool made = fs::create_directories(path, error);
  if (error) fail("make the folder", path, error.value());
  if (!fs::is_directory(path, error)) fail("make the folder", path, ENOTDIR);
  return made;
}

bool path_exists(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  // "Not there" is no error here, neither is a file in the place of a folder on the way.
  if (status.type() == fs::file_type::none) fail("look for", path, error.value());
  return fs::exists(status);
}

std::string unexpanded(const fs::path& path) {
  std::error_code error;
  if (path.empty() || *path.begin() != "~" || fs::exists("~", error)) return "";
  return "the shell expands ~ only at the beginning of a word: write $HOME in its place";
}

}  // namespace resnet

// Folders and what stands in them.
#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "base/descriptor.h"
#include "base/files.h"
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
      return "the file system does not do it: see the system's log, or give another folder";
  }
}

bool same(const struct stat& a, const struct stat& b) noexcept {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Gives 0 or the error.
int look(const fs::path& path, struct stat& status) noexcept {
  return uninterrupted([&] { return file_system().stat(path.c_str(), &status); }) == 0 ? 0 : errno;
}

// Whether the open folder is the one at `path`.
bool is_at(int fd, const fs::path& path) noexcept {
  struct stat mine {
  }, there{};
  return uninterrupted([&] { return file_system().fstat(fd, &mine); }) == 0 && look(path, there) == 0 &&
         same(mine, there);
}

PathKind kind(int error, const struct stat& status) noexcept {
  if (error != 0) return error == ENOENT || error == ENOTDIR ? PathKind::nothing : PathKind::unknown;
  if (S_ISREG(status.st_mode)) return PathKind::file;
  if (S_ISDIR(status.st_mode)) return PathKind::folder;
  return S_ISLNK(status.st_mode) ? PathKind::link : PathKind::other;
}

}  // namespace

int open_file(const fs::path& path, int flags, mode_t mode) noexcept {
  return uninterrupted([&] { return file_system().open(path.c_str(), flags, mode); });
}

void throw_io_error(const std::string& doing, const fs::path& path, int error) {
  const std::string tilde = unexpanded(path);
  throw IoError("cannot " + doing + " " + path.string() + ": " + std::generic_category().message(error),
                tilde.empty() ? hint_for(error) : tilde);
}

int flush_folder(const fs::path& folder) noexcept {
  const Descriptor fd(open_file(folder, O_RDONLY | O_DIRECTORY));
  // A folder that may be written but not read, and file systems that cannot flush one: the file itself
  // is on the disk, and there is no more that could be done.
  if (fd.get() < 0) return errno == EACCES ? 0 : errno;
  if (uninterrupted([&] { return file_system().fsync(fd.get()); }) == 0) return 0;
  return errno == EINVAL || errno == ENOTSUP ? 0 : errno;
}

KnownFolder::KnownFolder(fs::path path) : path_(std::move(path)) {
  Descriptor fd(open_file(path_, O_RDONLY | O_DIRECTORY));
  if (fd.get() < 0 && errno != EACCES) throw_io_error("open the folder", path_, errno);
  fd_ = fd.release();
}

KnownFolder::~KnownFolder() {
  const Descriptor closed(fd_);
}

KnownFolder::KnownFolder(KnownFolder&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

KnownFolder& KnownFolder::operator=(KnownFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

bool KnownFolder::is_gone() const noexcept {
  return fd_ >= 0 ? !is_at(fd_, path_) : !is_there(path_);
}

FolderLock::FolderLock(const fs::path& folder) {
  constexpr int kTries = 100;  // each time another process took the folder away between two calls
  for (int i = 0; i < kTries; ++i) {
    made_ = make_directories(folder);
    Descriptor fd(open_file(folder, O_RDONLY | O_DIRECTORY));
    if (fd.get() < 0 && errno == ENOENT) continue;
    if (fd.get() < 0 && errno == EACCES) {  // it may still be written to
      folder_ = KnownFolder(folder, -1);
      return;
    }
    if (fd.get() < 0) throw_io_error("open the folder", folder, errno);
    held_ = uninterrupted([&] { return file_system().flock(fd.get(), LOCK_EX | LOCK_NB); }) == 0;
    if (!held_ && errno == EWOULDBLOCK) {
      throw IoError("another process is writing to " + folder.string(),
                    "wait for it, or give another folder");
    }
    if (!is_at(fd.get(), folder)) continue;
    folder_ = KnownFolder(folder, fd.release());
    return;
  }
  throw_io_error("lock the folder", folder, ENOENT);
}

bool make_directories(const fs::path& path) {
  const auto fail = [&](int error) { throw_io_error("make the folder", path, error); };
  if (!unexpanded(path).empty() || path.empty()) fail(ENOENT);
  struct stat status {};
  const int looked = look(path, status);
  const PathKind there = kind(looked, status);
  if (there == PathKind::folder) return false;
  const fs::path parent = path.parent_path();
  if (there != PathKind::nothing || parent == path) fail(looked == 0 ? ENOTDIR : looked);
  if (!path.has_filename() || path.filename() == ".") return make_directories(parent);  // "a/", "a/."
  if (!parent.empty()) make_directories(parent);
  constexpr mode_t kNewFolder = 0777;  // narrowed by the umask
  if (uninterrupted([&] { return file_system().mkdir(path.c_str(), kNewFolder); }) != 0) {
    const int error = errno;
    if (error == EEXIST && is_folder(path)) return false;
    fail(error == EEXIST ? ENOTDIR : error);
  }
  // What is written into it later is lost with it otherwise.
  if (const int error = flush_folder(parent.empty() ? "." : parent); error != 0) {
    remove_folder(path);
    fail(error);
  }
  return true;
}

PathKind kind_of(const fs::path& path) noexcept {
  struct stat status {};
  return kind(look(path, status), status);
}

PathKind kind_of_itself(const fs::path& path) noexcept {
  struct stat status {};
  const int result = uninterrupted([&] { return file_system().lstat(path.c_str(), &status); });
  return kind(result == 0 ? 0 : errno, status);
}

bool is_folder(const fs::path& path) noexcept {
  return kind_of(path) == PathKind::folder;
}

bool is_there(const fs::path& path) noexcept {
  const PathKind kind = kind_of(path);
  return kind != PathKind::nothing && kind != PathKind::unknown;
}

bool are_same(const fs::path& a, const fs::path& b) noexcept {
  struct stat one {
  }, other{};
  return look(a, one) == 0 && look(b, other) == 0 && same(one, other);
}

bool is_newer(const fs::path& a, const fs::path& b) noexcept {
  struct stat one {
  }, other{};
  return look(a, one) == 0 && look(b, other) == 0 &&
         std::pair(one.st_mtim.tv_sec, one.st_mtim.tv_nsec) >
             std::pair(other.st_mtim.tv_sec, other.st_mtim.tv_nsec);
}

bool path_exists(const fs::path& path) {
  struct stat status {};
  const int error = look(path, status);
  // "Not there" is no error here, neither is a file in the place of a folder on the way.
  if (kind(error, status) == PathKind::unknown) throw_io_error("look for", path, error);
  return error == 0;
}

std::vector<fs::path> list_names(const fs::path& folder, std::error_code& error) {
  std::vector<std::string> names;
  const int result = uninterrupted([&] {
    names.clear();
    return file_system().list(folder.c_str(), names);
  });
  error = result == 0 ? std::error_code() : std::error_code(errno, std::generic_category());
  std::sort(names.begin(), names.end());
  return {names.begin(), names.end()};
}

bool remove_file(const fs::path& path) noexcept {
  return uninterrupted([&] { return file_system().unlink(path.c_str()); }) == 0 || errno == ENOENT;
}

void remove_for_good(const fs::path& path) {
  if (uninterrupted([&] { return file_system().unlink(path.c_str()); }) != 0 && errno != ENOENT)
    throw_io_error("remove", path, errno);
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (const int error = flush_folder(folder); error != 0 && error != ENOENT)
    throw_io_error("flush the folder", folder, error);
}

bool remove_folder(const fs::path& path) noexcept {
  return uninterrupted([&] { return file_system().rmdir(path.c_str()); }) == 0 || errno == ENOENT;
}

std::int64_t file_bytes(const fs::path& path) noexcept {
  struct stat status {};
  return look(path, status) == 0 && S_ISREG(status.st_mode) ? status.st_size : 0;
}

std::int64_t free_disk(fs::path folder) noexcept {
  try {
    std::error_code error;
    while (!is_there(folder) && folder.has_relative_path()) folder = folder.parent_path();
    const fs::space_info space = fs::space(folder, error);
    return error ? 0 : static_cast<std::int64_t>(space.available);
  } catch (const std::bad_alloc&) {
    return 0;
  }
}

std::string unexpanded(const fs::path& path) {
  if (path.empty() || *path.begin() != "~" || is_there("~")) return "";
  return "the shell expands ~ only at the beginning of a word: write $HOME in its place";
}

fs::path without_slash(fs::path folder) {
  return folder.has_filename() ? std::move(folder) : folder.parent_path();
}

}  // namespace resnet

#include "base/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <cstdio>
#include <memory>
#include <string_view>

namespace resnet {
namespace {

std::atomic<FileSystem*> other_system = nullptr;

}  // namespace

FileSystem& file_system() noexcept {
  static FileSystem real;
  FileSystem* const other = other_system.load(std::memory_order_acquire);
  return other != nullptr ? *other : real;
}

FileSystem* replace_file_system(FileSystem* other) noexcept {
  return other_system.exchange(other, std::memory_order_acq_rel);
}

int FileSystem::open(const char* path, int flags, mode_t mode) noexcept {
  const int fd = ::open(path, flags | O_CLOEXEC, mode);
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int error = errno;
  ::close(fd);
  errno = error;
  return moved;
}

int FileSystem::close(int fd) noexcept {
  return ::close(fd);
}

ssize_t FileSystem::read(int fd, void* out, std::size_t size) noexcept {
  return ::read(fd, out, size);
}

ssize_t FileSystem::pread(int fd, void* out, std::size_t size, off_t at) noexcept {
  return ::pread(fd, out, size, at);
}

ssize_t FileSystem::write(int fd, const void* bytes, std::size_t size) noexcept {
  return ::write(fd, bytes, size);
}

int FileSystem::ftruncate(int fd, off_t size) noexcept {
  return ::ftruncate(fd, size);
}

int FileSystem::fsync(int fd) noexcept {
  return ::fsync(fd);
}

void FileSystem::drop_cache(int fd) noexcept {
  static_cast<void>(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
}

int FileSystem::flock(int fd, int operation) noexcept {
  return ::flock(fd, operation);
}

int FileSystem::fchmod(int fd, mode_t mode) noexcept {
  return ::fchmod(fd, mode);
}

int FileSystem::fchown(int fd, uid_t owner, gid_t group) noexcept {
  return ::fchown(fd, owner, group);
}

int FileSystem::fstat(int fd, struct stat* status) noexcept {
  return ::fstat(fd, status);
}

int FileSystem::stat(const char* path, struct stat* status) noexcept {
  return ::stat(path, status);
}

int FileSystem::lstat(const char* path, struct stat* status) noexcept {
  return ::lstat(path, status);
}

int FileSystem::readlink(const char* path, std::string& target) {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = ::readlink(path, text.data(), text.size());
  if (size < 0) return -1;
  target.assign(text.data(), static_cast<std::size_t>(size));
  return 0;
}

int FileSystem::rename(const char* from, const char* to) noexcept {
  return ::rename(from, to);
}

int FileSystem::unlink(const char* path) noexcept {
  return ::unlink(path);
}

int FileSystem::mkdir(const char* path, mode_t mode) noexcept {
  return ::mkdir(path, mode);
}

int FileSystem::rmdir(const char* path) noexcept {
  return ::rmdir(path);
}

int FileSystem::list(const char* folder, std::vector<std::string>& names) {
  struct Close {
    void operator()(DIR* open) const { ::closedir(open); }
  };
  const std::unique_ptr<DIR, Close> open(::opendir(folder));
  if (open == nullptr) return -1;
  errno = 0;
  while (const dirent* entry = ::readdir(open.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  return errno == 0 ? 0 : -1;
}

}  // namespace resnet

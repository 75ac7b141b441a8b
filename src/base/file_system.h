// The seam to the file system: every call by which this project opens, reads, writes, names or looks for a
// file. There is one real file system; tests put another in its place, which fails or loses its power.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <vector>

namespace resnet {

/// Each call is the system's of that name: it gives -1 and sets errno where it fails, and may be called by
/// several threads at once.
class FileSystem {
 public:
  FileSystem() = default;
  virtual ~FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;

  /// Closed on exec, and never standard input, output or error, where the program closed one of those: what
  /// is meant for people would go into the file.
  virtual int open(const char* path, int flags, mode_t mode) noexcept;
  virtual int close(int fd) noexcept;
  virtual ssize_t read(int fd, void* out, std::size_t size) noexcept;
  virtual ssize_t pread(int fd, void* out, std::size_t size, off_t at) noexcept;
  virtual ssize_t write(int fd, const void* bytes, std::size_t size) noexcept;
  virtual int ftruncate(int fd, off_t size) noexcept;
  virtual int fsync(int fd) noexcept;
  /// Lets go of what memory holds of a file, so that it is read from the disk; no promise, no error.
  virtual void drop_cache(int fd) noexcept;
  virtual int flock(int fd, int operation) noexcept;
  virtual int fchmod(int fd, mode_t mode) noexcept;
  virtual int fchown(int fd, uid_t owner, gid_t group) noexcept;
  virtual int fstat(int fd, struct stat* status) noexcept;
  virtual int stat(const char* path, struct stat* status) noexcept;
  virtual int lstat(const char* path, struct stat* status) noexcept;
  virtual int readlink(const char* path, std::string& target);
  virtual int rename(const char* from, const char* to) noexcept;
  virtual int unlink(const char* path) noexcept;
  virtual int mkdir(const char* path, mode_t mode) noexcept;
  virtual int rmdir(const char* path) noexcept;
  /// Appends the names in a folder but "." and "..", in any order.
  virtual int list(const char* folder, std::vector<std::string>& names);
};

/// The one that is in use.
FileSystem& file_system() noexcept;

/// Puts another in its place, null for the real one; gives the one before. For tests: whoever uses files
/// meanwhile must not be surprised.
FileSystem* replace_file_system(FileSystem* other) noexcept;

/// Calls until no signal interrupts it.
template <class Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace resnet

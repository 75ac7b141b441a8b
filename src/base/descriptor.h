// What reading, writing and folders share: descriptors, errors of the system, and a folder's flush.
#pragma once

#include <cerrno>
#include <filesystem>
#include <string>
#include <utility>

#include "base/file_system.h"

namespace resnet {

/// An open file or folder that is closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) static_cast<void>(close());
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes now; gives 0 or the error. A signal does not keep it open.
  int close() noexcept {
    return file_system().close(std::exchange(fd_, -1)) == 0 || errno == EINTR ? 0 : errno;
  }

 private:
  int fd_;
};

/// As open(), whatever signals arrive.
int open_file(const std::filesystem::path& path, int flags, mode_t mode = 0) noexcept;

/// "cannot read a/b: No such file or directory", and what to do.
[[noreturn]] void throw_io_error(const std::string& doing, const std::filesystem::path& path, int error);

/// Puts what was made, renamed or removed in a folder on the disk; gives 0 or the error.
int flush_folder(const std::filesystem::path& folder) noexcept;

}  // namespace resnet

// A file system on top of another one.
#pragma once

#include <string>
#include <vector>

#include "base/file_system.h"

namespace resnet::test {

/// For the life of this object, `files` is the file system.
class FilesReplaced {
 public:
  explicit FilesReplaced(FileSystem& files) : before_(replace_file_system(&files)) {}
  ~FilesReplaced() { replace_file_system(before_); }
  FilesReplaced(const FilesReplaced&) = delete;
  FilesReplaced& operator=(const FilesReplaced&) = delete;

 private:
  FileSystem* before_;
};

/// Passes every call on to the one beneath. A test that asks before each call overrides refuses().
class PassedOn : public FileSystem {
 public:
  explicit PassedOn(FileSystem& under) : under_(under) {}

  int open(const char* path, int flags, mode_t mode) noexcept override {
    return refuses("open") ? -1 : under_.open(path, flags, mode);
  }
  int close(int fd) noexcept override { return refuses("close") ? -1 : under_.close(fd); }
  ssize_t read(int fd, void* out, std::size_t size) noexcept override {
    return refuses("read") ? -1 : under_.read(fd, out, size);
  }
  ssize_t pread(int fd, void* out, std::size_t size, off_t at) noexcept override {
    return refuses("pread") ? -1 : under_.pread(fd, out, size, at);
  }
  ssize_t write(int fd, const void* bytes, std::size_t size) noexcept override {
    return refuses("write") ? -1 : under_.write(fd, bytes, size);
  }
  int ftruncate(int fd, off_t size) noexcept override {
    return refuses("ftruncate") ? -1 : under_.ftruncate(fd, size);
  }
  int fsync(int fd) noexcept override { return refuses("fsync") ? -1 : under_.fsync(fd); }
  void drop_cache(int fd) noexcept override { under_.drop_cache(fd); }
  int flock(int fd, int operation) noexcept override {
    return refuses("flock") ? -1 : under_.flock(fd, operation);
  }
  int fchmod(int fd, mode_t mode) noexcept override {
    return refuses("fchmod") ? -1 : under_.fchmod(fd, mode);
  }
  int fchown(int fd, uid_t owner, gid_t group) noexcept override {
    return refuses("fchown") ? -1 : under_.fchown(fd, owner, group);
  }
  int fstat(int fd, struct stat* status) noexcept override {
    return refuses("fstat") ? -1 : under_.fstat(fd, status);
  }
  int stat(const char* path, struct stat* status) noexcept override {
    return refuses("stat") ? -1 : under_.stat(path, status);
  }
  int lstat(const char* path, struct stat* status) noexcept override {
    return refuses("lstat") ? -1 : under_.lstat(path, status);
  }
  int readlink(const char* path, std::string& target) override {
    return refuses("readlink") ? -1 : under_.readlink(path, target);
  }
  int rename(const char* from, const char* to) noexcept override {
    return refuses("rename") ? -1 : under_.rename(from, to);
  }
  int unlink(const char* path) noexcept override { return refuses("unlink") ? -1 : under_.unlink(path); }
  int mkdir(const char* path, mode_t mode) noexcept override {
    return refuses("mkdir") ? -1 : under_.mkdir(path, mode);
  }
  int rmdir(const char* path) noexcept override { return refuses("rmdir") ? -1 : under_.rmdir(path); }
  int list(const char* folder, std::vector<std::string>& names) override {
    return refuses("list") ? -1 : under_.list(folder, names);
  }

 protected:
  /// Whether the call fails, with errno set.
  virtual bool refuses(const char* /*call*/) noexcept { return false; }

  FileSystem& under_;
};

}  // namespace resnet::test

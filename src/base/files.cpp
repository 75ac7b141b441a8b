#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "resnet/error.h"

namespace resnet {
namespace {

std::string hint_for(int error) {
  switch (error) {
    case ENOENT:
      return "check the path";
    case EACCES:
    case EPERM:
    case EROFS:
      return "check the permissions, or give another folder";
    case ENOSPC:
    case EDQUOT:
      return "free some space, or give another folder";
    default:
      return "";
  }
}

[[noreturn]] void fail(const std::string& doing, const std::filesystem::path& path, int error) {
  throw IoError("cannot " + doing + " " + path.string() + ": " + std::strerror(error), hint_for(error));
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
  // Closes now; gives 0 or the error.
  int close() noexcept {
    const int result = ::close(fd_);
    fd_ = -1;
    return result == 0 ? 0 : errno;
  }

 private:
  int fd_;
};

// Writes everything; gives 0 or the error.
int write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

void flush_folder(const std::filesystem::path& folder) {
  const Descriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot flush a folder; the file itself is already on the disk.
  if (fd.get() >= 0) static_cast<void>(::fsync(fd.get()));
}

}  // namespace

std::vector<std::byte> read_file(const std::filesystem::path& path, std::int64_t most) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) fail("read", path, errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail("read", path, errno);
  if (S_ISDIR(status.st_mode)) fail("read", path, EISDIR);
  if (status.st_size > most) {
    throw FormatError(path.string() + " is larger than " + std::to_string(most) + " bytes");
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(fd.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

std::string read_text(const std::filesystem::path& path) {
  constexpr std::int64_t kMost = 16 << 20;
  const std::vector<std::byte> bytes = read_file(path, kMost);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_file(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const std::filesystem::path temporary =
      folder / ("." + path.filename().string() + ".tmp" + std::to_string(::getpid()));
  constexpr mode_t kMode = 0666;  // narrowed by the umask, as for any file
  Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kMode));
  if (fd.get() < 0) fail("write", path, errno);
  int error = 0;
  for (const auto& part : parts) {
    if (error == 0) error = write_all(fd.get(), part);
  }
  if (error == 0 && ::fsync(fd.get()) != 0) error = errno;
  if (const int closing = fd.close(); error == 0) error = closing;
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    static_cast<void>(::unlink(temporary.c_str()));
    fail("write", path, error);
  }
  flush_folder(folder);
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  const std::array<std::span<const std::byte>, 1> parts = {
      std::as_bytes(std::span(text.data(), text.size()))};
  write_file(path, parts);
}

void make_directories(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail("make the folder", path, error.value());
  if (!std::filesystem::is_directory(path)) fail("make the folder", path, ENOTDIR);
}

}  // namespace resnet

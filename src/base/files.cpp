#include "base/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include "base/descriptor.h"
#include "base/signals.h"
#include "resnet/error.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;

using Parts = std::span<const std::span<const std::byte>>;

// Writes everything; gives 0 or the error.
int write_all(int fd, Parts parts) noexcept {
  for (std::span<const std::byte> bytes : parts) {
    while (!bytes.empty()) {
      const ssize_t written =
          uninterrupted([&] { return file_system().write(fd, bytes.data(), bytes.size()); });
      if (written <= 0) return written < 0 ? errno : EIO;  // none of them is no progress either
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  return 0;
}

constexpr int kOtherBytes = -1;

// Whether the disk gives what it was given; 0, the error or kOtherBytes.
int read_back(int fd, Parts parts) {
  file_system().drop_cache(fd);
  constexpr std::size_t kPiece = 1 << 20;
  std::size_t longest = 0;
  for (const std::span<const std::byte> bytes : parts) longest = std::max(longest, bytes.size());
  std::vector<std::byte> piece(std::min(longest, kPiece));
  off_t at = 0;
  for (std::span<const std::byte> bytes : parts) {
    while (!bytes.empty()) {
      const std::size_t want = std::min(bytes.size(), piece.size());
      const ssize_t got = uninterrupted([&] { return file_system().pread(fd, piece.data(), want, at); });
      if (got < 0) return errno;
      const auto count = static_cast<std::size_t>(got);
      if (count == 0 || std::memcmp(piece.data(), bytes.data(), count) != 0) return kOtherBytes;
      bytes = bytes.subspan(count);
      at += got;
    }
  }
  return 0;
}

[[noreturn]] void fail_to_write(const fs::path& path, int error) {
  if (error != kOtherBytes) throw_io_error("write", path, error);
  throw IoError("cannot write " + path.string() + ": other bytes are read back than were written",
                "the disk or the memory fails: see the system's log, or give another folder");
}

// Where the bytes really go, and what is there.
struct Target {
  fs::path path;
  struct stat old {};
  bool replaces = false;
};

// The path itself.
Target itself(const fs::path& path, const fs::path& asked_for) {
  Target target{path};
  target.replaces = uninterrupted([&] { return file_system().lstat(path.c_str(), &target.old); }) == 0;
  if (!target.replaces && errno != ENOENT) fail_to_write(asked_for, errno);
  return target;
}

// The end of a chain of links.
Target followed(const fs::path& path) {
  constexpr int kMostLinks = 40;  // as Linux
  Target target{path};
  for (int links = 0; links <= kMostLinks; ++links) {
    target = itself(target.path, path);
    if (!target.replaces || !S_ISLNK(target.old.st_mode)) return target;
    std::string next;
    const char* name = target.path.c_str();
    if (uninterrupted([&] { return file_system().readlink(name, next); }) != 0) fail_to_write(path, errno);
    target.path = target.path.parent_path() / next;
  }
  fail_to_write(path, ELOOP);
}

// To a device or a pipe, which nothing may take the place of.
void write_through(const fs::path& path, Parts parts) {
  Descriptor fd(open_file(path, O_WRONLY | O_NOCTTY));
  if (fd.get() < 0) fail_to_write(path, errno);
  int error = write_all(fd.get(), parts);
  if (const int closing = fd.close(); error == 0) error = closing;
  if (error != 0) fail_to_write(path, error);
}

constexpr mode_t kNewFile = 0666;  // narrowed by the umask, as for any file

constexpr const char *kTemporary = ".resnet-", *kTemporaryEnd = ".tmp";

// A new file beside the one it is to replace, under a name that nobody can foresee; gone at the end unless
// it was renamed.
class Temporary {
 public:
  Temporary(const fs::path& folder, const fs::path& target, mode_t mode) {
    while (true) {
      std::uint64_t number = 0;
      if (::getentropy(&number, sizeof number) != 0) fail_to_write(target, errno);
      std::array<char, 32> name{};
      static_cast<void>(
          std::snprintf(name.data(), name.size(), "%s%016" PRIx64 "%s", kTemporary, number, kTemporaryEnd));
      path_ = folder / name.data();
      fd_ = open_file(path_, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
      if (fd_ >= 0) return;
      if (errno != EEXIST) fail_to_write(target, errno);
    }
  }
  ~Temporary() {
    if (!path_.empty()) remove_file(path_);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  int fd() const noexcept { return fd_; }
  // Gives 0 or the error.
  int rename_to(const fs::path& target) noexcept {
    if (uninterrupted([&] { return file_system().rename(path_.c_str(), target.c_str()); }) != 0) return errno;
    path_.clear();
    return 0;
  }

 private:
  fs::path path_;
  int fd_ = -1;
};

// Gives `fd` the owner and the permissions of the file that it takes the place of; gives 0 or the error.
int take_over(int fd, const struct stat& old) {
  constexpr mode_t kPermissions = 0777, kGroup = 0070;
  struct stat now {};
  FileSystem& files = file_system();
  if (uninterrupted([&] { return files.fstat(fd, &now); }) != 0) return errno;
  mode_t mode = old.st_mode & kPermissions;
  if (now.st_uid != old.st_uid || now.st_gid != old.st_gid) {
    // Only root may give a file away. What the old group might do is not for another group.
    const auto give = [&](uid_t owner) {
      return uninterrupted([&] { return files.fchown(fd, owner, old.st_gid); }) == 0;
    };
    const bool group = give(old.st_uid) || give(static_cast<uid_t>(-1));
    if (!group && now.st_gid != old.st_gid) mode &= ~kGroup;
  }
  return uninterrupted([&] { return files.fchmod(fd, mode); }) == 0 ? 0 : errno;
}

}  // namespace

InputFile::InputFile(const fs::path& path) : path_(path) {
  Descriptor fd(open_file(path, O_RDONLY));
  if (fd.get() < 0) throw_io_error("read", path, errno);
  struct stat status {};
  if (uninterrupted([&] { return file_system().fstat(fd.get(), &status); }) != 0)
    throw_io_error("read", path, errno);
  if (S_ISDIR(status.st_mode)) throw_io_error("read", path, EISDIR);
  size_ = status.st_size;
  fd_ = fd.release();
}

InputFile::~InputFile() {
  const Descriptor closed(is_owner_ ? fd_ : -1);
}

std::size_t InputFile::read(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        uninterrupted([&] { return file_system().read(fd_, out.data() + done, out.size() - done); });
    if (got < 0) throw_io_error("read", path_, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

std::vector<std::byte> read_file(const fs::path& path, std::int64_t most) {
  InputFile file(path);
  return read_file(file, most);
}

std::vector<std::byte> read_file(InputFile& file, std::int64_t most) {
  const auto refuse = [&] {
    throw FormatError(file.path().string() + " is larger than " + std::to_string(most) + " bytes",
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

void write_file(const fs::path& path, Parts parts, Durability durability, const KnownFolder* known) {
  Target target;
  if (known != nullptr) {  // a folder may be a stranger's, whose links lead to what is not his
    target = itself(path, path);
    if (target.replaces && S_ISDIR(target.old.st_mode)) fail_to_write(path, EISDIR);
    target.replaces = target.replaces && S_ISREG(target.old.st_mode);
  } else {
    // Before links are followed by name: those of /dev/stdout and its like lead to what has no name.
    struct stat status {};
    const bool exists = uninterrupted([&] { return file_system().stat(path.c_str(), &status); }) == 0;
    if (!exists && errno != ENOENT) fail_to_write(path, errno);
    if (exists && S_ISDIR(status.st_mode)) fail_to_write(path, EISDIR);
    if (exists && !S_ISREG(status.st_mode)) return write_through(path, parts);
    // A file in place of standard output's would have neither what is printed beside it nor what >> found there.
    struct stat out {};
    const bool is_output = exists && ::fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == status.st_dev &&
                           out.st_ino == status.st_ino;
    // But what is to be read back gets one of its own where that loses nothing.
    const bool replaced = durability == Durability::read_back && out.st_nlink > 0 && out.st_size == 0;
    if (is_output && !replaced) {
      if (const int error = write_all(STDOUT_FILENO, parts); error != 0) fail_to_write(path, error);
      return;
    }
    target = followed(path);
  }
  const fs::path folder = target.path.has_parent_path() ? target.path.parent_path() : ".";
  const SignalsHeld held;                // a temporary file would stay
  constexpr mode_t kOwnersAlone = 0600;  // until it has the permissions of what it replaces
  Temporary temporary(folder, path, target.replaces ? kOwnersAlone : kNewFile);
  Descriptor fd(temporary.fd());
  // The temporary file is there: if its folder is exchanged from here on, it cannot be renamed.
  int error = known != nullptr && known->is_gone() ? ENOENT : 0;
  if (error == 0 && target.replaces) error = take_over(fd.get(), target.old);
  if (error == 0) error = write_all(fd.get(), parts);
  // An fsync that failed is not tried again: what it should have kept may be lost already.
  const bool flushed = durability != Durability::soon;
  if (error == 0 && flushed && uninterrupted([&] { return file_system().fsync(fd.get()); }) != 0)
    error = errno;
  if (error == 0 && durability == Durability::read_back) error = read_back(fd.get(), parts);
  if (const int closing = fd.close(); error == 0) error = closing;
  if (error == 0) error = temporary.rename_to(target.path);
  if (error != 0) fail_to_write(path, error);
  if (!flushed) return;
  if (const int flushing = flush_folder(folder); flushing != 0)
    throw_io_error("flush the folder of", path, flushing);
}

void write_file(const fs::path& path, std::string_view text, const KnownFolder* folder) {
  const std::array<std::span<const std::byte>, 1> parts = {
      std::as_bytes(std::span(text.data(), text.size()))};
  write_file(path, parts, Durability::flushed, folder);
}

AppendedFile::AppendedFile(const fs::path& path) {
  Descriptor fd(open_file(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) throw_io_error("append to", path, errno);
  struct stat status {};
  if (uninterrupted([&] { return file_system().fstat(fd.get(), &status); }) != 0)
    throw_io_error("append to", path, errno);
  if (!S_ISREG(status.st_mode)) throw_io_error("append to", path, EEXIST);
  fd_ = fd.release();
}

AppendedFile::~AppendedFile() {
  const Descriptor closed(fd_);
}

bool AppendedFile::append(std::string_view text) noexcept {
  const std::array<std::span<const std::byte>, 1> parts = {
      std::as_bytes(std::span(text.data(), text.size()))};
  struct stat before {};
  if (uninterrupted([&] { return file_system().fstat(fd_, &before); }) != 0) return false;
  if (write_all(fd_, parts) == 0) return true;
  // A part of a line would join the next one.
  static_cast<void>(uninterrupted([&] { return file_system().ftruncate(fd_, before.st_size); }));
  return false;
}

bool make_new_file(const fs::path& path) {
  const Descriptor fd(open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kNewFile));
  if (fd.get() < 0 && errno != EEXIST) throw_io_error("write", path, errno);
  return fd.get() >= 0;
}

void remove_temporaries(const fs::path& folder) noexcept {
  try {
    std::error_code ignored;
    for (const fs::path& path : list_names(folder, ignored)) {
      const std::string name = path.string();
      if (name.starts_with(kTemporary) && name.ends_with(kTemporaryEnd)) remove_file(folder / path);
    }
  } catch (const std::bad_alloc&) {  // then they stay
  }
}

}  // namespace resnet

// The file system seam: whole files in, whole files out. Writing is atomic and durable: what was
// there stays there until its successor is complete on the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace resnet {

/// A file, read from its beginning on. Throws IoError.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// Fills `out`; gives how many bytes that are, fewer than its size only at the end of the file.
  std::size_t read(std::span<std::byte> out);

  const std::filesystem::path& path() const noexcept { return path_; }
  std::int64_t size() const noexcept { return size_; }  ///< when it was opened; 0 for a pipe

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  std::int64_t size_ = 0;
};

/// The file's bytes. Throws IoError if it cannot be read, FormatError if it is larger than `most`.
std::vector<std::byte> read_file(const std::filesystem::path& path,
                                 std::int64_t most = std::int64_t{1} << 40);

/// The same as text; at most 16 MiB.
std::string read_text(const std::filesystem::path& path);

/// Writes the parts one after the other into a temporary file of the same folder, flushes it to the
/// disk, renames it to `path` and flushes the folder. The temporary file is new (O_EXCL) and has a random
/// name, so that nothing put there beforehand is written to. A file that is replaced keeps its permissions
/// and, where the system allows it, its owner. A link is followed; a device or a pipe is written as it is.
/// Throws IoError; then the temporary file is gone and whatever was at `path` is untouched (unless it was
/// the folder that could not be flushed).
void write_file(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts);
void write_file(const std::filesystem::path& path, std::string_view text);
/// The same without waiting for the disk, for caches that check what they read: a file is whole or not there
/// if the program ends early, but may be damaged if the system does.
void write_file_soon(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts);

/// A regular file that grows line by line while others read it.
class AppendedFile {
 public:
  /// The file must be there. Throws IoError, also for a link or what is not a regular file.
  explicit AppendedFile(const std::filesystem::path& path);
  ~AppendedFile();
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;

  /// Whether all of it could be written.
  bool append(std::string_view text) noexcept;

 private:
  int fd_ = -1;
};

/// Holds a folder for this object: as long as it lives, no other one can hold the same folder, in this
/// process or another. The system lets go of it if the process dies.
class FolderLock {
 public:
  /// Makes the folder and those above it, if need be. Throws IoError, also where another one holds it.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  bool made() const noexcept { return made_; }  ///< whether the folder was not there before
  /// Whether `folder`, which this holds, is no longer where it was: moved, removed, or another one in its
  /// place.
  bool is_gone(const std::filesystem::path& folder) const noexcept;
  /// False on file systems that cannot lock a folder, such as NFS: then nothing is held.
  bool held() const noexcept { return held_; }

 private:
  int fd_ = -1;
  bool made_ = false, held_ = false;
};

/// Makes an empty file. False if something is there. Throws IoError.
bool make_new_file(const std::filesystem::path& path);

/// Makes a folder and those above it; none of it is an error if it is there. A first part `~` that is not
/// there is not made: see unexpanded(). Throws IoError. True if `path` itself was made.
bool make_directories(const std::filesystem::path& path);

/// Whether something is at `path`. Throws IoError if the system does not say.
bool path_exists(const std::filesystem::path& path);

/// A hint where `path` begins with a `~` that a shell should have expanded and nothing of that name is
/// there; else "".
std::string unexpanded(const std::filesystem::path& path);

}  // namespace resnet

// Whole files in, whole files out. Writing is atomic and durable: what was there stays there until its
// successor is complete on the disk. Every call goes through the seam of file_system.h; a signal's
// interruption is no error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace resnet {

/// A file, read from its beginning on. Throws IoError.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  /// One that is open already, from where it stands, and stays open; `name` is for messages.
  InputFile(std::filesystem::path name, int fd) noexcept
      : path_(std::move(name)), fd_(fd), is_owner_(false) {}
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
  bool is_owner_ = true;
};

/// The file's bytes. Throws IoError if it cannot be read, FormatError if it is larger than `most`.
std::vector<std::byte> read_file(const std::filesystem::path& path,
                                 std::int64_t most = std::int64_t{1} << 40);
std::vector<std::byte> read_file(InputFile& file, std::int64_t most);

/// The same as text; at most 16 MiB.
std::string read_text(const std::filesystem::path& path);

/// How long write_file() waits. soon: for nothing; a file is whole or not there if the program ends early,
/// but may be damaged if the system does (caches that check what they read). flushed: until it is on the
/// disk. read_back: also until what is there was compared with what was meant, before it takes the place of
/// the old file; costs reading it, see docs/reliability.md.
enum class Durability { soon, flushed, read_back };

/// A folder that is known again, whatever its name leads to later: it is held open.
class KnownFolder {
 public:
  KnownFolder() = default;  ///< none: always gone
  /// Throws IoError. One that may be written to but not read is not held: any folder in its place is it.
  explicit KnownFolder(std::filesystem::path path);
  /// One that is open already, or -1: not held.
  KnownFolder(std::filesystem::path path, int fd) noexcept : path_(std::move(path)), fd_(fd) {}
  ~KnownFolder();
  KnownFolder(KnownFolder&& other) noexcept;
  KnownFolder& operator=(KnownFolder&& other) noexcept;

  const std::filesystem::path& path() const noexcept { return path_; }  ///< where it was
  /// Whether it is no longer there: moved, removed, or another one in its place.
  bool is_gone() const noexcept;

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

/// Writes the parts one after the other into a temporary file of the same folder, flushes it to the
/// disk, renames it to `path` and flushes the folder; SIGINT, SIGTERM, SIGHUP and SIGUSR1 wait meanwhile, if
/// no other thread takes them. The temporary file is new (O_EXCL) and has a random name, so that nothing put
/// there beforehand is written to. A file that is replaced keeps its permissions and, where the system allows
/// it, its owner. A link is followed; a device or a pipe is written as it is, and so is the
/// file that standard output is, behind what it holds; only an empty one is replaced by what is to be read
/// back. Throws IoError; then the temporary file is gone and whatever was at `path` is untouched (unless it
/// was the folder that could not be flushed). With a `folder`, which may be a stranger's, what is at `path`
/// itself gives way, also a link, a device or a pipe; and it throws where the folder is gone: nothing is left
/// in one that stands in its place, not even if they are exchanged meanwhile.
void write_file(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts,
                Durability durability = Durability::flushed, const KnownFolder* folder = nullptr);
void write_file(const std::filesystem::path& path, std::string_view text,
                const KnownFolder* folder = nullptr);

/// A regular file that grows line by line while others read it.
class AppendedFile {
 public:
  /// The file must be there. Throws IoError, also for a link or what is not a regular file.
  explicit AppendedFile(const std::filesystem::path& path);
  ~AppendedFile();
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;

  /// Whether all of it could be written; else none of it is left, where the disk still does that much. Only
  /// one may write to the file then.
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
  ~FolderLock() = default;
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  bool made() const noexcept { return made_; }  ///< whether the folder was not there before
  const KnownFolder& folder() const noexcept { return folder_; }
  /// False on file systems that cannot lock a folder: then nothing is held. Over NFS each machine locks for itself.
  bool held() const noexcept { return held_; }

 private:
  KnownFolder folder_;
  bool made_ = false, held_ = false;
};

/// Makes an empty file. False if something is there. Throws IoError.
bool make_new_file(const std::filesystem::path& path);

/// Makes a folder and those above it, and flushes the folders around those that it made; none of it is an
/// error if it is there. A first part `~` that is not there is not made: see unexpanded(). Throws IoError.
/// True if `path` itself was made.
bool make_directories(const std::filesystem::path& path);

/// What stands at a path, or behind the links there. `other` is a device, a pipe or a socket; `unknown` where
/// the system does not say.
enum class PathKind { nothing, file, folder, link, other, unknown };
PathKind kind_of(const std::filesystem::path& path) noexcept;
PathKind kind_of_itself(const std::filesystem::path& path) noexcept;  ///< a link is a link
bool is_folder(const std::filesystem::path& path) noexcept;
bool is_there(const std::filesystem::path& path) noexcept;  ///< false where the system does not say
bool are_same(const std::filesystem::path& a, const std::filesystem::path& b) noexcept;  ///< two paths to one
/// Whether `a` was written after `b`; false where one of them is not there.
bool is_newer(const std::filesystem::path& a, const std::filesystem::path& b) noexcept;

/// The names of what stands in a folder, in the order of their bytes; those that were read where `error` says
/// that it could not be listed.
std::vector<std::filesystem::path> list_names(const std::filesystem::path& folder, std::error_code& error);

/// False if it is still there. It may come back after a loss of power: no folder is flushed.
bool remove_file(const std::filesystem::path& path) noexcept;
bool remove_folder(const std::filesystem::path& path) noexcept;  ///< an empty one
/// Removes a file, if it is there, so that it does not come back. Throws IoError.
void remove_for_good(const std::filesystem::path& path);

std::int64_t file_bytes(const std::filesystem::path& path) noexcept;  ///< 0 where no file is there

/// Bytes that are free where a folder is, or will be; 0 where the system does not say.
std::int64_t free_disk(std::filesystem::path folder) noexcept;

/// Removes what write_file() left unfinished in a folder, where a process died. Nobody may be writing to it.
void remove_temporaries(const std::filesystem::path& folder) noexcept;

/// Whether something is at `path`. Throws IoError if the system does not say.
bool path_exists(const std::filesystem::path& path);

/// A hint where `path` begins with a `~` that a shell should have expanded and nothing of that name is
/// there; else "".
std::string unexpanded(const std::filesystem::path& path);

/// A folder's name without the slash behind it, to which "-2" and files beside it can be added.
std::filesystem::path without_slash(std::filesystem::path folder);

}  // namespace resnet

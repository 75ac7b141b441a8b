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
/// disk, renames it to `path` and flushes the folder. A link is followed; a device or a pipe is
/// written as it is. Throws IoError; then the temporary file is gone and whatever was at `path` is
/// untouched (unless it was the folder that could not be flushed).
void write_file(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts);
void write_file(const std::filesystem::path& path, std::string_view text);

/// Makes a folder and those above it; none of it is an error if it is there. Throws IoError.
void make_directories(const std::filesystem::path& path);

/// Whether something is at `path`. Throws IoError if the system does not say.
bool path_exists(const std::filesystem::path& path);

}  // namespace resnet

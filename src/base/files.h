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

/// The file's bytes. Throws IoError if it cannot be read, FormatError if it is larger than `most`.
std::vector<std::byte> read_file(const std::filesystem::path& path,
                                 std::int64_t most = std::int64_t{1} << 40);

/// The same as text; at most 16 MiB.
std::string read_text(const std::filesystem::path& path);

/// Writes the parts one after the other into a temporary file of the same folder, flushes it to the
/// disk, renames it to `path` and flushes the folder. Throws IoError; then the temporary file is gone
/// and whatever was at `path` is untouched.
void write_file(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts);
void write_file(const std::filesystem::path& path, std::string_view text);

/// Makes a folder and those above it; none of it is an error if it is there. Throws IoError.
void make_directories(const std::filesystem::path& path);

}  // namespace resnet

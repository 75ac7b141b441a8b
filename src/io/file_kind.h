// What a file is, by its first bytes: for those that were given as a model and are none.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace resnet::io {

/// So many bytes of a file are enough.
inline constexpr std::size_t kKindBytes = 512;

struct FileKind {
  std::string what;  // "a git-lfs pointer, not the file itself"
  std::string hint;
};

/// Of a file that begins with `head`; none where it may be safetensors, or is nothing that is known.
std::optional<FileKind> kind_of(std::string_view head);

/// PyTorch's files since 1.6 are zip archives.
bool is_zip(std::string_view head) noexcept;

/// Throws IoError where `path` is a device or a pipe, which has no size and cannot be read twice.
void refuse_pipe(const std::filesystem::path& path);

}  // namespace resnet::io

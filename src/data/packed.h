// Reads a file, decompressed if it is gzip.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/files.h"

namespace resnet::data {

/// Known as gzip by its first two bytes, not by its name; everything else is read as it is. Throws
/// IoError, and FormatError for gzip that is damaged, ends early or has something behind it.
class PackedFile {
 public:
  explicit PackedFile(const std::filesystem::path& path);
  ~PackedFile();
  PackedFile(const PackedFile&) = delete;
  PackedFile& operator=(const PackedFile&) = delete;

  /// Fills `out`; gives how many bytes that are, fewer than its size only at the end. The checksum of
  /// gzip is known to be right only then.
  std::int64_t read(std::span<std::uint8_t> out);
  /// The next bytes, `most` of them or all that there are.
  std::vector<std::uint8_t> read(std::int64_t most);

 private:
  void refill();
  std::int64_t read_plain(std::span<std::uint8_t> out);
  std::int64_t unpack(std::span<std::uint8_t> out);

  InputFile file_;
  std::vector<std::uint8_t> input_;  // what is read but not yet taken is in stream_.next_in
  z_stream stream_{};
  bool gzip_ = false;
  bool ended_ = false;
};

}  // namespace resnet::data

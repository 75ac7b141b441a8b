// A zip archive in memory, as PyTorch writes it: entries stored or deflated, also of zip64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace resnet::io {

/// The entries of an archive that nobody vouches for. At most 65,536 entries with names of 512 bytes; what is
/// unpacked of deflated ones is at most 64 times the archive and 1 MiB, all together; no two entries that are
/// read may share bytes. Everything else is refused: FormatError, without the archive's name.
class ZipArchive {
 public:
  /// `bytes` must outlive it.
  explicit ZipArchive(std::span<const std::byte> bytes);
  ~ZipArchive();
  ZipArchive(const ZipArchive&) = delete;
  ZipArchive& operator=(const ZipArchive&) = delete;

  /// In the order of the archive, each once.
  std::vector<std::string_view> names() const;
  bool has(std::string_view name) const noexcept;
  /// The bytes of an entry, which must be there; its checksum must be theirs. Void at the next call of an
  /// entry that is deflated; those of a stored one are the archive's own.
  std::span<const std::byte> read(std::string_view name);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace resnet::io

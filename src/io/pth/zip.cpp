#include "io/pth/zip.h"

#include <fmt/core.h>
#include <minizip/unzip.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/text.h"
#include "resnet/error.h"

namespace resnet::io {

// What minizip reads an archive through: a place in memory.
struct ArchiveCursor {
  std::span<const std::byte> bytes;
  std::uint64_t at = 0;  // at most as many as there are
};

namespace {

constexpr std::uint64_t kMostEntries = 1 << 16;  // a checkpoint of ResNet-152 with AdamW's slots has 2,800
constexpr std::size_t kMostName = 512;
constexpr std::uint64_t kMostRatio = 64, kRatioFrom = 1 << 20;

const char* const kDamaged = "the file is damaged, or not copied completely";

// Whether the record at the end of an archive is complete; minizip takes what is missing of it for zeros.
bool has_end(std::span<const std::byte> bytes) {
  constexpr std::size_t kEndRecord = 22;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t at = text.rfind("PK\5\6");
  return at != std::string_view::npos && text.size() - at >= kEndRecord;
}

ArchiveCursor& cursor_of(voidpf opaque) {
  return *static_cast<ArchiveCursor*>(opaque);
}

voidpf open_cursor(voidpf opaque, const void* /*name*/, int /*mode*/) {
  return opaque;
}

uLong read_cursor(voidpf opaque, voidpf /*stream*/, void* out, uLong size) {
  ArchiveCursor& cursor = cursor_of(opaque);
  const std::uint64_t count = std::min<std::uint64_t>(size, cursor.bytes.size() - cursor.at);
  std::copy_n(cursor.bytes.data() + cursor.at, count, static_cast<std::byte*>(out));
  cursor.at += count;
  return static_cast<uLong>(count);
}

ZPOS64_T tell_cursor(voidpf opaque, voidpf /*stream*/) {
  return cursor_of(opaque).at;
}

long seek_cursor(voidpf opaque, voidpf /*stream*/, ZPOS64_T offset, int origin) {
  ArchiveCursor& cursor = cursor_of(opaque);
  const std::uint64_t from = origin == ZLIB_FILEFUNC_SEEK_CUR   ? cursor.at
                             : origin == ZLIB_FILEFUNC_SEEK_END ? cursor.bytes.size()
                                                                : 0;
  if (offset > cursor.bytes.size() - from) return -1;
  cursor.at = from + offset;
  return 0;
}

int close_cursor(voidpf /*opaque*/, voidpf /*stream*/) {
  return 0;
}

int cursor_error(voidpf /*opaque*/, voidpf /*stream*/) {
  return 0;
}

}  // namespace

struct ZipArchive::Impl {
  struct Entry {
    std::string name;
    unz64_file_pos place{};
    std::uint64_t packed = 0, size = 0;
    std::uint32_t checksum = 0;
    bool deflated = false, encrypted = false, known_method = true;
  };

  explicit Impl(std::span<const std::byte> bytes) : cursor{bytes} {
    zlib_filefunc64_def calls = {open_cursor, read_cursor,  nullptr,      tell_cursor,
                                 seek_cursor, close_cursor, cursor_error, &cursor};
    if (has_end(bytes)) zip = unzOpen2_64("", &calls);
    if (zip == nullptr) {
      throw FormatError("the zip archive has no end: its directory of entries is missing or damaged",
                        kDamaged);
    }
  }
  ~Impl() { unzClose(zip); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void list() {
    unz_global_info64 all{};
    unzGetGlobalInfo64(zip, &all);  // it has been read
    if (all.number_entry > kMostEntries) {
      throw FormatError(fmt::format("a zip archive of {} entries; at most {}",
                                    static_cast<std::uint64_t>(all.number_entry), kMostEntries),
                        kDamaged);
    }
    for (std::uint64_t i = 0; i < all.number_entry; ++i) {
      if ((i == 0 ? unzGoToFirstFile(zip) : unzGoToNextFile(zip)) != UNZ_OK)
        throw FormatError(fmt::format("the directory of the zip archive ends at entry {} of {}", i,
                                      static_cast<std::uint64_t>(all.number_entry)),
                          kDamaged);
      add_entry();
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (!by_name.emplace(entries[i].name, i).second)
        throw FormatError(
            fmt::format("two entries of the zip archive are called {}", in_quotes(entries[i].name)),
            kDamaged);
    }
  }

  void add_entry() {
    unz_file_info64 info{};
    std::array<char, kMostName + 1> name{};
    if (unzGetCurrentFileInfo64(zip, &info, name.data(), name.size(), nullptr, 0, nullptr, 0) != UNZ_OK)
      throw FormatError("an entry of the zip archive's directory is damaged", kDamaged);
    if (info.size_filename > kMostName) {
      throw FormatError(fmt::format("an entry of the zip archive has a name of {} bytes; at most {}",
                                    info.size_filename, kMostName),
                        kDamaged);
    }
    Entry entry;
    entry.name.assign(name.data(), info.size_filename);
    unzGetFilePos64(zip, &entry.place);  // it has been read
    entry.packed = info.compressed_size;
    entry.size = info.uncompressed_size;
    entry.checksum = static_cast<std::uint32_t>(info.crc);
    entry.deflated = info.compression_method == Z_DEFLATED;
    entry.known_method = entry.deflated || info.compression_method == 0;
    entry.encrypted = (info.flag & 1U) != 0;
    entries.push_back(std::move(entry));
  }

  [[noreturn]] static void refuse(const Entry& entry, const std::string& what) {
    throw FormatError(fmt::format("entry {} of the zip archive {}", in_quotes(entry.name), what), kDamaged);
  }

  // The entry's packed bytes, which no other one that was read may share.
  std::span<const std::byte> packed_bytes(const Entry& entry) {
    if (entry.encrypted) refuse(entry, "is encrypted");
    if (!entry.known_method) refuse(entry, "is packed by a method that is neither stored nor deflated");
    if (unzGoToFilePos64(zip, &entry.place) != UNZ_OK ||
        unzOpenCurrentFile2(zip, nullptr, nullptr, 1) != UNZ_OK)
      refuse(entry, "does not agree with its place in the directory");
    const std::uint64_t begin = unzGetCurrentFileZStreamPos64(zip);
    unzCloseCurrentFile(zip);
    const std::uint64_t all = cursor.bytes.size();
    if (begin > all || entry.packed > all - begin) refuse(entry, "ends behind the file");
    if (!entry.deflated && entry.packed != entry.size)
      refuse(entry, "is stored in another size than its own");
    if (entry.packed > 0) {
      const auto after = taken.upper_bound(begin);
      const bool overlaps = (after != taken.end() && after->first < begin + entry.packed) ||
                            (after != taken.begin() && std::prev(after)->second > begin);
      if (overlaps) refuse(entry, "shares bytes with another one");
      taken.emplace(begin, begin + entry.packed);
    }
    return cursor.bytes.subspan(begin, entry.packed);
  }

  std::span<const std::byte> inflated(const Entry& entry, std::span<const std::byte> packed) {
    if (entry.size > kRatioFrom + kMostRatio * cursor.bytes.size() - unpacked)
      refuse(entry,
             fmt::format("unpacks to {} bytes, too many for a file of {}", entry.size, cursor.bytes.size()));
    unpacked += entry.size;
    buffer.resize(entry.size + 1);  // zlib wants a place even for nothing
    z_stream stream{};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
    int code = Z_OK;
    std::span<const std::byte> in = packed;
    std::span<std::byte> out = std::span(buffer).first(entry.size);
    constexpr std::size_t kPiece = std::size_t{1} << 30U;  // zlib counts in 32 bits
    while (code == Z_OK) {
      const std::size_t give = std::min(in.size(), kPiece), take = std::min(out.size(), kPiece);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
      stream.avail_in = static_cast<uInt>(give);
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(take);
      code = ::inflate(&stream, Z_NO_FLUSH);
      in = in.subspan(give - stream.avail_in);
      out = out.subspan(take - stream.avail_out);
    }
    inflateEnd(&stream);
    if (code != Z_STREAM_END || !out.empty() || !in.empty()) refuse(entry, "does not unpack to its size");
    return std::span(buffer).first(entry.size);
  }

  std::span<const std::byte> read(const Entry& entry) {
    const std::span<const std::byte> packed = packed_bytes(entry);
    const std::span<const std::byte> bytes = entry.deflated ? inflated(entry, packed) : packed;
    if (crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()) != entry.checksum) {
      throw FormatError(fmt::format("entry {} of the zip archive has other bytes than its checksum is of",
                                    in_quotes(entry.name)),
                        "the file is damaged, or was saved after "
                        "torch.serialization.set_crc32_options(False): save it with checksums");
    }
    return bytes;
  }

  ArchiveCursor cursor;
  unzFile zip = nullptr;
  std::vector<Entry> entries;
  std::map<std::string_view, std::size_t> by_name;
  std::map<std::uint64_t, std::uint64_t> taken;  // begin and end of what was read
  std::uint64_t unpacked = 0;
  std::vector<std::byte> buffer;
};

ZipArchive::ZipArchive(std::span<const std::byte> bytes) : impl_(std::make_unique<Impl>(bytes)) {
  impl_->list();
}

ZipArchive::~ZipArchive() = default;

std::vector<std::string_view> ZipArchive::names() const {
  std::vector<std::string_view> result;
  for (const Impl::Entry& entry : impl_->entries) result.push_back(entry.name);
  return result;
}

bool ZipArchive::has(std::string_view name) const noexcept {
  return impl_->by_name.contains(name);
}

std::span<const std::byte> ZipArchive::read(std::string_view name) {
  return impl_->read(impl_->entries.at(impl_->by_name.at(name)));
}

}  // namespace resnet::io

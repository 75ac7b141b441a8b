#include "data/packed.h"

#include <algorithm>
#include <limits>
#include <new>

#include "resnet/error.h"

namespace resnet::data {
namespace {

constexpr std::size_t kInput = 1 << 16;  // bytes read from the file at a time
constexpr std::uint8_t kMagic0 = 0x1f, kMagic1 = 0x8b;
constexpr int kGzipWindow = 15 + 16;           // the largest window; gzip's header and checksum
constexpr std::int64_t kMostExpansion = 1032;  // of deflate: 258 bytes from two bits

}  // namespace

PackedFile::PackedFile(const std::filesystem::path& path) : file_(path), input_(kInput) {
  refill();
  gzip_ = stream_.avail_in >= 2 && input_[0] == kMagic0 && input_[1] == kMagic1;
  if (gzip_ && inflateInit2(&stream_, kGzipWindow) != Z_OK) throw std::bad_alloc();
}

PackedFile::~PackedFile() {
  if (gzip_) inflateEnd(&stream_);
}

void PackedFile::refill() {
  stream_.next_in = input_.data();
  stream_.avail_in = static_cast<uInt>(file_.read(std::as_writable_bytes(std::span(input_))));
}

std::int64_t PackedFile::read(std::span<std::uint8_t> out) {
  return gzip_ ? unpack(out) : read_plain(out);
}

std::vector<std::uint8_t> PackedFile::read(std::int64_t most) {
  // Reserved is what the file can possibly hold: a wrong `most` must cost nothing.
  const std::int64_t possible =
      (std::min(file_.size(), most) + static_cast<std::int64_t>(kInput)) * (gzip_ ? kMostExpansion : 1);
  std::vector<std::uint8_t> bytes;
  bytes.reserve(static_cast<std::size_t>(std::min(most, possible)));
  constexpr std::int64_t kBlock = 1 << 20;
  while (static_cast<std::int64_t>(bytes.size()) < most) {
    const std::size_t have = bytes.size();
    const std::int64_t want = std::min(kBlock, most - static_cast<std::int64_t>(have));
    bytes.resize(have + static_cast<std::size_t>(want));
    const std::int64_t got = read(std::span(bytes).subspan(have));
    bytes.resize(have + static_cast<std::size_t>(got));
    if (got < want) break;
  }
  return bytes;
}

std::int64_t PackedFile::read_plain(std::span<std::uint8_t> out) {
  const std::size_t ready = std::min<std::size_t>(stream_.avail_in, out.size());
  std::copy_n(stream_.next_in, ready, out.data());
  stream_.next_in += ready;
  stream_.avail_in -= static_cast<uInt>(ready);
  return static_cast<std::int64_t>(ready + file_.read(std::as_writable_bytes(out.subspan(ready))));
}

std::int64_t PackedFile::unpack(std::span<std::uint8_t> out) {
  const auto refuse = [this](const std::string& what) {
    throw FormatError(file_.path().string() + ": " + what, "get the file again");
  };
  std::size_t done = 0;
  while (done < out.size() && !ended_) {
    if (stream_.avail_in == 0) refill();
    if (stream_.avail_in == 0) refuse("the gzip data ends early");
    const std::size_t want = std::min<std::size_t>(out.size() - done, std::numeric_limits<uInt>::max());
    stream_.next_out = out.data() + done;
    stream_.avail_out = static_cast<uInt>(want);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    done += want - stream_.avail_out;
    if (code == Z_MEM_ERROR) throw std::bad_alloc();
    if (code == Z_STREAM_END) {  // of a member; another one may follow (RFC 1952, section 2.2)
      if (stream_.avail_in == 0) refill();
      ended_ = stream_.avail_in == 0;
      if (!ended_ && *stream_.next_in != kMagic0) refuse("more bytes follow the gzip data");
      if (!ended_) inflateReset(&stream_);
    } else if (code != Z_OK) {
      refuse(std::string("the gzip data is corrupt") +
             (stream_.msg != nullptr ? std::string(" (") + stream_.msg + ")" : ""));
    }
  }
  return static_cast<std::int64_t>(done);
}

}  // namespace resnet::data

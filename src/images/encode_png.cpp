// PNG files are a few chunks around a zlib stream.
#include <zlib.h>

#include <array>
#include <string_view>

#include "images/resample.h"
#include "resnet/error.h"
#include "resnet/images.h"

namespace resnet::images {
namespace {

void put32(std::vector<std::uint8_t>& out, std::uint32_t value) {
  for (const unsigned shift : {24U, 16U, 8U, 0U}) out.push_back(static_cast<std::uint8_t>(value >> shift));
}

void put_chunk(std::vector<std::uint8_t>& out, std::string_view type, std::span<const std::uint8_t> data) {
  put32(out, static_cast<std::uint32_t>(data.size()));
  const std::size_t begin = out.size();
  out.insert(out.end(), type.begin(), type.end());
  out.insert(out.end(), data.begin(), data.end());
  const uLong sum = ::crc32_z(0, out.data() + begin, out.size() - begin);
  put32(out, static_cast<std::uint32_t>(sum));
}

// Each row as its difference from the one above it, which suits photographs and drawings.
std::vector<std::uint8_t> filtered(const Image& image) {
  constexpr std::uint8_t kUp = 2;
  const auto row = static_cast<std::size_t>(image.width * image.channels);
  std::vector<std::uint8_t> out;
  out.reserve((row + 1) * static_cast<std::size_t>(image.height));
  for (std::size_t at = 0; at < image.pixels.size(); at += row) {
    out.push_back(kUp);
    for (std::size_t i = at; i < at + row; ++i) {
      out.push_back(static_cast<std::uint8_t>(image.pixels[i] - (at == 0 ? 0 : image.pixels[i - row])));
    }
  }
  return out;
}

}  // namespace

std::vector<std::uint8_t> encode_png(const Image& image) {
  check_image(image);
  std::vector<std::uint8_t> header;
  put32(header, static_cast<std::uint32_t>(image.width));
  put32(header, static_cast<std::uint32_t>(image.height));
  const std::uint8_t color_type = image.channels == 1 ? 0 : 2;
  header.insert(header.end(), {8, color_type, 0, 0, 0});  // bits; deflate, filtered by rows, not interlaced

  const std::vector<std::uint8_t> raw = filtered(image);
  std::vector<std::uint8_t> packed(::compressBound(static_cast<uLong>(raw.size())));
  uLongf length = static_cast<uLongf>(packed.size());
  if (::compress2(packed.data(), &length, raw.data(), static_cast<uLong>(raw.size()),
                  Z_DEFAULT_COMPRESSION) != Z_OK) {
    throw IoError("no memory to compress a picture", "make it smaller");
  }
  packed.resize(length);

  constexpr std::array<std::uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  std::vector<std::uint8_t> out(kSignature.begin(), kSignature.end());
  put_chunk(out, "IHDR", header);
  constexpr std::size_t kMostOfChunk = std::size_t{1} << 30;  // of 2^31 - 1
  for (std::size_t at = 0; at < packed.size(); at += kMostOfChunk) {
    put_chunk(out, "IDAT", std::span(packed).subspan(at, std::min(kMostOfChunk, packed.size() - at)));
  }
  put_chunk(out, "IEND", {});
  return out;
}

}  // namespace resnet::images

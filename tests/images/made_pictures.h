// Picture files made byte by byte, for the tests of what nobody vouches for.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace resnet::images::made {

using Bytes = std::vector<std::uint8_t>;

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline Bytes text(std::string_view s) {
  return {s.begin(), s.end()};
}
inline Bytes repeated(const Bytes& part, int times) {
  Bytes out;
  for (int i = 0; i < times; ++i) out.insert(out.end(), part.begin(), part.end());
  return out;
}
inline Bytes number(std::uint32_t value, int bytes, bool big) {
  Bytes out;
  for (int i = 0; i < bytes; ++i) {
    out.push_back(static_cast<std::uint8_t>(value >> 8 * (big ? bytes - 1 - i : i)));
  }
  return out;
}
inline Bytes big(std::uint32_t value, int bytes = 4) {
  return number(value, bytes, true);
}
inline Bytes little(std::uint32_t value, int bytes = 4) {
  return number(value, bytes, false);
}
inline Bytes cut(const Bytes& file, std::size_t size) {
  return {file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size)};
}

// ---- PNG

inline Bytes deflated(const Bytes& raw) {
  Bytes out(::compressBound(static_cast<uLong>(raw.size())));
  uLongf length = static_cast<uLongf>(out.size());
  EXPECT_EQ(::compress2(out.data(), &length, raw.data(), static_cast<uLong>(raw.size()), 9), Z_OK);
  out.resize(length);
  return out;
}
inline Bytes chunk(std::string_view type, const Bytes& data) {
  const Bytes body = text(type) + data;
  return big(static_cast<std::uint32_t>(data.size())) + body +
         big(static_cast<std::uint32_t>(::crc32(0, body.data(), static_cast<uInt>(body.size()))));
}
inline Bytes png_header(std::uint32_t width, std::uint32_t height, std::uint8_t depth, std::uint8_t color,
                        std::uint8_t interlaced = 0) {
  return text({"\x89PNG\r\n\x1a\n", 8}) +
         chunk("IHDR", big(width) + big(height) + Bytes{depth, color, 0, 0, interlaced});
}
inline Bytes png(std::uint32_t width, std::uint32_t height, std::uint8_t depth, std::uint8_t color,
                 const Bytes& raw, const Bytes& before = {}, std::uint8_t interlaced = 0) {
  return png_header(width, height, depth, color, interlaced) + before + chunk("IDAT", deflated(raw)) +
         chunk("IEND", {});
}
inline const Bytes kRows = repeated({0, 1, 2, 3, 4, 5, 6}, 3);  // RGB 2x3

// ---- JPEG, gray: one block, and scans that say nothing

inline Bytes segment(std::uint8_t marker, const Bytes& data) {
  return Bytes{0xFF, marker} + big(static_cast<std::uint32_t>(data.size() + 2), 2) + data;
}
inline Bytes jpeg(std::uint32_t width, std::uint32_t height, bool progressive, const Bytes& scans,
                  const Bytes& before = {}) {
  // Tables: every coefficient divided by 1; one code of one bit, for category 0, or a run to the end of the
  // band.
  const Bytes tables =
      segment(0xDB, Bytes{0} + Bytes(64, 1)) + segment(0xC4, Bytes{0, 1} + Bytes(15, 0) + Bytes{0}) +
      segment(0xC4, Bytes{0x10, 1} + Bytes(15, 0) + Bytes{static_cast<std::uint8_t>(progressive ? 0xE0 : 0)});
  return Bytes{0xFF, 0xD8} + before + tables +
         segment(progressive ? 0xC2 : 0xC0,
                 Bytes{8} + big(height, 2) + big(width, 2) + Bytes{1, 1, 0x11, 0}) +
         scans + Bytes{0xFF, 0xD9};
}
inline Bytes scan(std::uint8_t first, std::uint8_t last, const Bytes& data) {
  return segment(0xDA, {1, 1, 0, first, last, 0}) + data;
}
inline const Bytes kFlat = jpeg(8, 8, false, scan(0, 63, {0x3F}));

// ---- BMP and WebP

inline Bytes bmp(std::uint32_t width, std::uint32_t height, std::uint32_t bits, const Bytes& rows,
                 std::uint32_t compression = 0, std::uint32_t colors = 0, std::uint32_t start = 54,
                 std::uint32_t header = 40) {
  return text("BM") + little(0) + little(0) + little(start) + little(header) + little(width) +
         little(height) + little(1, 2) + little(bits, 2) + little(compression) + little(0) + little(0) +
         little(0) + little(colors) + little(0) + rows;
}
inline Bytes riff(const Bytes& chunks) {
  return text("RIFF") + little(static_cast<std::uint32_t>(chunks.size() + 4)) + text("WEBP") + chunks;
}
inline Bytes webp_chunk(std::string_view name, const Bytes& data) {
  return text(name) + little(static_cast<std::uint32_t>(data.size())) + data + Bytes(data.size() % 2, 0);
}
inline Bytes vp8x(std::uint32_t width, std::uint32_t height, std::uint8_t flags = 0) {
  return webp_chunk("VP8X", Bytes{flags, 0, 0, 0} + little(width - 1, 3) + little(height - 1, 3));
}
inline Bytes vp8l(std::uint32_t width, std::uint32_t height, const Bytes& data) {
  return webp_chunk("VP8L", Bytes{0x2F} + little((width - 1) | (height - 1) << 14U) + data);
}
inline Bytes vp8(std::uint32_t width, std::uint32_t height, const Bytes& data) {
  return webp_chunk("VP8 ",
                    Bytes{0x10, 0x20, 0, 0x9D, 1, 0x2A} + little(width, 2) + little(height, 2) + data);
}

}  // namespace resnet::images::made

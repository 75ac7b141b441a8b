// What each format's decoder gives to decode.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "resnet/error.h"
#include "resnet/images.h"

namespace resnet::images {

using Bytes = std::span<const std::uint8_t>;

/// What a file's headers say. Sizes are as they are stored, and may be anything until check_header() was
/// there.
struct Header {
  std::int64_t height = 0, width = 0;
  int orientation = 1;  // EXIF's, 1 to 8
  int reduced = 1;      // sides to be decoded are 1 / so much: 2, 4, 8 of a JPEG
};

/// `begins` knows a file of the format by its first bytes. `header` reads no further than it must, `decode`
/// gives RGB as it is stored, of a file whose header was checked. Both throw FormatError.
struct Decoder {
  std::string_view format;
  bool (*begins)(Bytes file);
  Header (*header)(Bytes file);
  Image (*decode)(Bytes file, const Header& header, const Limits& limits);
};

extern const Decoder kJpeg, kPng, kWebp, kBmp, kPpm;

/// `message` may come from a library.
[[noreturn]] inline void refuse(const Decoder& decoder, const std::string& message,
                                const std::string& hint = {}) {
  throw FormatError("a " + std::string(decoder.format) + " picture: " + message, hint);
}
[[noreturn]] inline void refuse_cut_off(const Decoder& decoder) {
  refuse(decoder, "the file ends early",
         "it was cut off, as by a broken download or a full disk: take another copy");
}

/// Room for the picture, of which pages are only taken as rows come: a file that lies about its size costs
/// no memory.
class Rows {
 public:
  explicit Rows(const Header& header) : image_{header.height, header.width, 3, {}} {
    image_.pixels.reserve(static_cast<std::size_t>(header.height * header.width * 3));
  }
  std::uint8_t* next() {
    const std::size_t at = image_.pixels.size();
    image_.pixels.resize(at + static_cast<std::size_t>(image_.width * 3));
    return image_.pixels.data() + at;
  }
  Image take() { return std::move(image_); }

 private:
  Image image_;
};

// Numbers at an offset that the caller has checked.
inline std::uint32_t big16(Bytes b, std::size_t at) {
  return static_cast<std::uint32_t>(b[at] << 8 | b[at + 1]);
}
inline std::uint32_t big32(Bytes b, std::size_t at) {
  return big16(b, at) << 16 | big16(b, at + 2);
}
inline std::uint32_t little16(Bytes b, std::size_t at) {
  return static_cast<std::uint32_t>(b[at] | b[at + 1] << 8);
}
inline std::uint32_t little32(Bytes b, std::size_t at) {
  return little16(b, at) | little16(b, at + 2) << 16;
}

inline bool starts_with(Bytes bytes, std::string_view prefix) {
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with(prefix);
}

}  // namespace resnet::images

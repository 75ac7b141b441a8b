#include "images/orientation.h"

#include <algorithm>
#include <optional>

namespace resnet::images {
namespace {

constexpr std::uint32_t kOrientation = 0x0112;  // TIFF's tag

// A TIFF structure's numbers in its order of bytes.
struct Numbers {
  Bytes bytes;
  bool little;

  std::uint32_t u16(std::size_t at) const { return little ? little16(bytes, at) : big16(bytes, at); }
  std::uint32_t u32(std::size_t at) const { return little ? little32(bytes, at) : big32(bytes, at); }
};

constexpr std::size_t kEntry = 12;  // bytes

// The first value of the entry at `at`, if it is an integer; nothing if it is cut off. What is of another
// type is there, but says nothing: 0.
std::optional<int> value_of(const Numbers& tiff, std::size_t at) {
  enum : std::uint32_t {
    kByte = 1,
    kShort = 3,
    kLong = 4,
    kSignedByte = 6,
    kSignedShort = 8,
    kSignedLong = 9
  };
  const std::uint32_t type = tiff.u16(at + 2);
  const std::size_t count = tiff.u32(at + 4);
  const std::size_t size = type == kByte || type == kSignedByte     ? 1
                           : type == kShort || type == kSignedShort ? 2
                                                                    : 4;
  if (count == 0) return std::nullopt;
  const std::size_t from = count * size <= 4 ? at + 8 : tiff.u32(at + 8);
  if (from + count * size > tiff.bytes.size()) return std::nullopt;
  switch (type) {
    case kShort:
    case kSignedShort:
      return static_cast<int>(tiff.u16(from));
    case kLong:
    case kSignedLong:
      return static_cast<int>(std::min<std::uint32_t>(tiff.u32(from), 9));
    case kSignedByte:
      return tiff.bytes[from];
    default:
      return 0;
  }
}

// Of the first directory alone, so that no offset leads in a circle.
std::optional<int> from_exif(Bytes exif) {
  while (starts_with(exif, {"Exif\0\0", 6})) exif = exif.subspan(6);
  if (exif.size() < 8) return std::nullopt;
  const Numbers tiff = {exif, exif[0] == 'I'};
  if ((exif[0] != 'I' && exif[0] != 'M') || exif[0] != exif[1]) return std::nullopt;
  if ((exif[2] != 0x2A || exif[3] != 0) && (exif[2] != 0 || exif[3] != 0x2A)) return std::nullopt;
  const std::size_t directory = tiff.u32(4);
  if (directory + 2 > exif.size()) return std::nullopt;
  const std::size_t entries = tiff.u16(directory);
  std::optional<int> found;
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t at = directory + 2 + i * kEntry;
    if (at + kEntry > exif.size()) break;
    if (tiff.u16(at) != kOrientation) continue;
    if (const auto value = value_of(tiff, at)) found = value;
  }
  return found;
}

std::optional<int> from_xmp(Bytes xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  const std::string_view text(reinterpret_cast<const char*>(xmp.data()), xmp.size());
  for (std::size_t at = 0; (at = text.find(kName, at)) != std::string_view::npos;) {
    at += kName.size();
    std::string_view rest = text.substr(at);
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with(">")) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] - '0';
  }
  return std::nullopt;
}

}  // namespace

int orientation_of(Bytes exif, Bytes xmp) {
  std::optional<int> value = from_exif(exif);
  if (!value) value = from_xmp(xmp);
  return value && *value >= 1 && *value <= 8 ? *value : 1;
}

Image oriented(Image image, int orientation) {
  if (orientation == 1) return image;
  // Of the 8 symmetries: first transposed (rows become columns), then mirrored.
  const bool transposed = orientation >= 5;
  const bool mirrored = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool flipped = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  Image out{transposed ? image.width : image.height, transposed ? image.height : image.width, 3, {}};
  out.pixels.reserve(image.pixels.size());
  const std::int64_t step = (transposed ? image.width : 1) * (mirrored ? -3 : 3);
  for (std::int64_t y = 0; y < out.height; ++y) {
    const std::int64_t row = flipped ? out.height - 1 - y : y;
    const std::int64_t column = mirrored ? out.width - 1 : 0;
    const std::uint8_t* from =
        image.pixels.data() + (transposed ? column * image.width + row : row * image.width + column) * 3;
    for (std::int64_t x = 0; x < out.width; ++x, from += step) {
      out.pixels.insert(out.pixels.end(), from, from + 3);
    }
  }
  return out;
}

}  // namespace resnet::images

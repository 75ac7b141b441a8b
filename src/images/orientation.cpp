#include "images/orientation.h"

#include <algorithm>
#include <optional>

namespace resnet::images {
namespace {

constexpr std::uint32_t kOrientation = 0x0112;  // TIFF's tag

// An integer of a TIFF entry of one value, as Pillow reads them: a BYTE is no number there.
std::optional<int> value_of(Bytes entry, bool little) {
  const auto u16 = [&](std::size_t at) { return little ? little16(entry, at) : big16(entry, at); };
  const auto u32 = [&](std::size_t at) { return little ? little32(entry, at) : big32(entry, at); };
  enum : std::uint32_t { kShort = 3, kLong = 4, kSignedByte = 6, kSignedShort = 8, kSignedLong = 9 };
  if (u32(4) != 1) return std::nullopt;
  switch (u16(2)) {
    case kShort:
    case kSignedShort:
      return static_cast<int>(u16(8));
    case kLong:
    case kSignedLong:
      return static_cast<int>(std::min<std::uint32_t>(u32(8), 9));
    case kSignedByte:
      return entry[8];
    default:
      return std::nullopt;
  }
}

// Of the first directory alone, so that no offset leads in a circle.
std::optional<int> from_exif(Bytes exif) {
  while (starts_with(exif, {"Exif\0\0", 6})) exif = exif.subspan(6);
  if (exif.size() < 8) return std::nullopt;
  const bool little = exif[0] == 'I';
  if ((!little && exif[0] != 'M') || exif[0] != exif[1]) return std::nullopt;
  if ((exif[2] != 0x2A || exif[3] != 0) && (exif[2] != 0 || exif[3] != 0x2A)) return std::nullopt;
  const std::size_t directory = little ? little32(exif, 4) : big32(exif, 4);
  if (directory + 2 > exif.size()) return std::nullopt;
  const std::size_t entries = little ? little16(exif, directory) : big16(exif, directory);
  constexpr std::size_t kEntry = 12;  // bytes
  std::optional<int> found;
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t at = directory + 2 + i * kEntry;
    if (at + kEntry > exif.size()) break;
    const Bytes entry = exif.subspan(at, kEntry);
    if ((little ? little16(entry, 0) : big16(entry, 0)) != kOrientation) continue;
    if (const auto value = value_of(entry, little)) found = value;
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

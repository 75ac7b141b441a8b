#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "base/files.h"
#include "images/decoders.h"
#include "images/orientation.h"
#include "images/resample.h"

namespace resnet::images {
namespace {

constexpr std::array kDecoders = {&kJpeg, &kPng, &kWebp, &kBmp, &kPpm};
constexpr const char* kConvert = "convert it to PNG or JPEG";

// What people have and what is not read, by its first bytes at an offset.
struct Known {
  std::string_view format;
  std::size_t at;
  std::string_view begins;
};
constexpr Known kOthers[] = {
    {"a GIF", 0, "GIF8"},
    {"a TIFF", 0, {"II*\0", 4}},
    {"a TIFF", 0, {"MM\0*", 4}},
    {"a TIFF", 0, {"II+\0", 4}},
    {"an AVIF", 4, "ftypavi"},
    {"a HEIC", 4, "ftyphei"},
    {"a HEIC", 4, "ftyphev"},
    {"a HEIC", 4, "ftypmif1"},
    {"a HEIC", 4, "ftypmsf1"},
    {"a JPEG XL", 0, "\xFF\x0A"},
    {"a JPEG XL", 4, "JXL "},
    {"a JPEG 2000", 4, "jP  "},
    {"a JPEG 2000", 0, "\xFF\x4F\xFF\x51"},
    {"an SVG", 0, "<svg"},
    {"an SVG", 0, "<?xml"},
    {"a PDF", 0, "%PDF"},
    {"a Photoshop", 0, "8BPS"},
    {"a PFM", 0, "Pf"},
    {"a PFM", 0, "PF"},
    {"a PAM", 0, "P7"},
};

const Decoder& decoder_of(Bytes file) {
  for (const Decoder* decoder : kDecoders) {
    if (decoder->begins(file)) return *decoder;
  }
  for (const Known& known : kOthers) {
    if (file.size() >= known.at && starts_with(file.subspan(known.at), known.begins)) {
      throw FormatError(std::string(known.format) + " file, which is not read", kConvert);
    }
  }
  constexpr const char* kRead = "pictures are JPEG, PNG, WebP, BMP, PPM, PGM and PBM files";
  if (file.empty()) throw FormatError("the file is empty", kRead);
  throw FormatError("no picture of a known format", kRead);
}

Header checked_header(const Decoder& decoder, Bytes file, std::int64_t most_pixels) {
  const Header header = decoder.header(file);
  const auto size = [&] { return std::to_string(header.width) + "x" + std::to_string(header.height); };
  if (header.height < 1 || header.width < 1) refuse(decoder, "its size is " + size() + " pixels");
  if (header.height > kMostPixels || header.width > kMostPixels) {
    refuse(decoder, size() + " pixels; a side has at most 65535", "make it smaller with another program");
  }
  if (header.height * header.width > most_pixels) {
    refuse(decoder, size() + " pixels; " + std::to_string(most_pixels) + " are allowed",
           "make it smaller with another program, or raise Limits::pixels if it is to be trusted");
  }
  return header;
}

// As Pillow's JpegImageFile.draft().
int reduction(const Header& header, Draft draft) {
  if (draft.height < 1 || draft.width < 1) return 1;
  if (header.orientation >= 5) std::swap(draft.height, draft.width);
  const std::int64_t most = std::min(header.height / draft.height, header.width / draft.width);
  return most >= 8 ? 8 : most >= 4 ? 4 : most >= 2 ? 2 : 1;
}

}  // namespace

Info probe(Bytes file) {
  const Decoder& decoder = decoder_of(file);
  const Header header = checked_header(decoder, file, kMostPixels * kMostPixels);
  if (header.orientation >= 5) return {decoder.format, header.width, header.height};
  return {decoder.format, header.height, header.width};
}

Image decode(Bytes file, const Limits& limits, const Draft& draft) {
  if (static_cast<std::int64_t>(file.size()) > limits.file_bytes) {
    throw FormatError("a picture of " + std::to_string(file.size()) + " bytes; " +
                          std::to_string(limits.file_bytes) + " are allowed",
                      "is it the file that was meant?");
  }
  const Decoder& decoder = decoder_of(file);
  Header header = checked_header(decoder, file, limits.pixels);
  if (&decoder == &kJpeg) header.reduced = reduction(header, draft);
  return oriented(decoder.decode(file, header, limits), header.orientation);
}

Image read(const std::filesystem::path& path, const Limits& limits, const Draft& draft) {
  const std::vector<std::byte> bytes = read_file(path, limits.file_bytes);
  try {
    return decode({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, limits, draft);
  } catch (const FormatError& error) {
    throw FormatError(path.string() + ": " + error.what(), error.hint());
  }
}

}  // namespace resnet::images

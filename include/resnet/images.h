// One picture: pure functions on bytes, in Pillow's arithmetic (docs/pictures.md). They may be called by
// several threads at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace resnet::images {

/// A picture: bytes [height][width][channels], row-major, channels 1 (gray) or 3 (RGB).
struct Image {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;
};

/// What a file may demand. It is refused by its header where it demands more, before memory is taken; a side
/// has at most 65,535 pixels in any case.
struct Limits {
  std::int64_t file_bytes = std::int64_t{256} << 20;  ///< the largest picture uncompressed, and its metadata
  /// Height times width. 2^26 is 8,192 x 8,192, more than a camera's; 201 MB as RGB, and besides, while it is
  /// decoded, as much again for an orientation or an animated WebP, twice as much for a progressive JPEG.
  std::int64_t pixels = std::int64_t{1} << 26;
  /// Pixels times the passes over them that a progressive JPEG asks for: each takes time, but hardly a byte
  /// of the file. 16 passes at the largest size; programs write about 10.
  std::int64_t scan_pixels = std::int64_t{1} << 30;
};

/// What a file says of itself.
struct Info {
  std::string_view format;             ///< "JPEG", "PNG", "WebP", "BMP" or "PPM" (with PGM and PBM)
  std::int64_t height = 0, width = 0;  ///< in pixels, after EXIF's orientation
};

/// The format and the size, from the headers alone. `file` may be the beginning of a file, if it reaches to
/// the orientation. Throws FormatError as decode() does.
Info probe(std::span<const std::uint8_t> file);

/// A smaller picture for less time: a JPEG is decoded at 1/2, 1/4 or 1/8 of its sides, the least that leaves
/// at least so many pixels each way after the orientation, as PIL's Image.draft(). 0 x 0: the whole picture.
struct Draft {
  std::int64_t height = 0, width = 0;
};

/// The picture in a JPEG, PNG, WebP, BMP, PPM, PGM or PBM file, whose name does not matter: RGB, turned as
/// its EXIF or XMP orientation says, equal to PIL's `ImageOps.exif_transpose(Image.open(f)).convert("RGB")`
/// byte for byte. So alpha is dropped, not blended, and 16-bit gray is cut at 255; of an animation it is the
/// first frame. With a `draft` it is PIL's after draft(). Throws FormatError, without a file's name, if it
/// is damaged, cut off, of another kind or beyond `limits`.
Image decode(std::span<const std::uint8_t> file, const Limits& limits = {}, const Draft& draft = {});

/// decode() of a file. Throws IoError if it cannot be read; what() of either error names the path.
Image read(const std::filesystem::path& path, const Limits& limits = {}, const Draft& draft = {});

/// A PNG file of an image, gray or RGB. The same bytes for the same image and zlib.
/// Throws ShapeError if `image` is not what Image says.
std::vector<std::uint8_t> encode_png(const Image& image);

enum class Filter { bilinear, bicubic };  // the weights of a resize

/// The bytes of `image` at height x width, equal to PIL's resize() with BILINEAR or BICUBIC byte for byte:
/// that of Pillow up to 12, whose horizontal pass comes first. Where Pillow 13 differs (by 1 in some bytes of
/// some sizes that shrink in height), its vertical pass came first: resize to height x image.width, then to
/// height x width. Throws ShapeError if a side is zero or larger than 65,535, or `image` is not what Image
/// says. Source: Pillow, Resample.c (triangle filter, or cubic convolution with a = -0.5; both are widened
/// where the size shrinks; 22-bit fixed point, two passes rounded to bytes).
Image resize(const Image& image, std::int64_t height, std::int64_t width, Filter filter);

/// resize() with Filter::bilinear.
Image resize_bilinear(const Image& image, std::int64_t height, std::int64_t width);

}  // namespace resnet::images

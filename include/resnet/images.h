// One picture: pure functions on bytes.
#pragma once

#include <cstdint>
#include <vector>

namespace resnet::images {

/// A picture: bytes [height][width][channels], row-major, channels 1 (gray) or 3 (RGB).
struct Image {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;
};

/// The bytes of `image` at height x width, equal to PIL's BILINEAR byte for byte: that of Pillow up to 12,
/// whose horizontal pass comes first. Where Pillow 13 differs (by 1 in some bytes of some sizes that shrink
/// in height), its vertical pass came first: resize to height x image.width, then to height x width.
/// Throws ShapeError if a side is zero or larger than 65,535, or `image` is not what Image says.
/// Source: Pillow, Resample.c (triangle filter, 22-bit fixed point, two passes rounded to bytes).
Image resize_bilinear(const Image& image, std::int64_t height, std::int64_t width);

}  // namespace resnet::images

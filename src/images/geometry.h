// Pixels of a picture moved: cut, mirrored, turned. Byte for byte as Pillow and torchvision, with black
// outside.
#pragma once

#include <array>
#include <cstdint>

#include "resnet/images.h"

namespace resnet::images {

/// A part of a picture, in pixels.
struct Box {
  std::int64_t top = 0, left = 0, height = 0, width = 0;
};

enum class Border : std::uint8_t { zero, reflect };  // reflect: the edge's pixels are not repeated

/// The pixels of `box`, which may reach over the edges. With Border::reflect by less than a side.
void crop(const Image& image, const Box& box, Border border, Image& out);

/// What torchvision's CenterCrop cuts of height x width: offsets of a half are rounded to even; where the
/// picture is smaller it is in the middle, the odd pixel is behind it.
Box center_box(std::int64_t height, std::int64_t width, std::int64_t crop_height, std::int64_t crop_width);

void flip(Image& image);  ///< left to right

enum class Interpolation : std::uint8_t { nearest, bilinear };  // bilinear: not antialiased

/// Output pixel (x, y) is the picture at (m0 x + m1 y + m2, m3 x + m4 y + m5), of pixels' centres.
/// Source: Pillow, Geometry.c: in double; the nearest pixel in 16.16 fixed point, but for m1 = m3 = 0.
void affine(Image& image, const std::array<double, 6>& matrix, Interpolation interpolation);
/// Turned counter-clockwise about the centre, as PIL's rotate().
void rotate(Image& image, double degrees, Interpolation interpolation);

}  // namespace resnet::images

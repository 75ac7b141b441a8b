// Pixels of a picture moved: cut, mirrored, turned. Byte for byte as Pillow and torchvision with the nearest
// pixel and black outside, which are torchvision's defaults.
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

/// Output pixel (x, y) is input pixel (m0 x + m1 y + m2, m3 x + m4 y + m5), of pixels' centres.
/// Source: Pillow, Geometry.c: 16.16 fixed point, but for m1 = m3 = 0.
void affine(Image& image, const std::array<double, 6>& matrix);
/// Turned counter-clockwise about the centre, as PIL's rotate().
void rotate(Image& image, double degrees);

}  // namespace resnet::images

// Pictures for people to look at.
#pragma once

#include <cstdint>
#include <vector>

#include "resnet/images.h"

namespace resnet::images {

/// A lossy WebP file of an image, gray or RGB: a tenth of a photograph's PNG. `quality` is libwebp's, 0 to
/// 100. Throws ShapeError if `image` is not what Image says or a side is longer than 16,383, std::bad_alloc
/// for want of memory.
std::vector<std::uint8_t> encode_webp(const Image& image, float quality = 80);

}  // namespace resnet::images

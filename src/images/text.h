// Words in a picture.
#pragma once

#include <cstdint>
#include <string_view>

#include "resnet/images.h"

namespace resnet::images {

// Of a character, in pixels; one column and one row of it are space.
inline constexpr std::int64_t kTextWidth = 6, kTextHeight = 9;

/// Writes ASCII text in black from this pixel on, `scale` times as large; any other byte is a box. What
/// reaches over the edges is cut off.
void draw_text(Image& image, std::int64_t top, std::int64_t left, std::string_view text,
               std::int64_t scale = 1);

}  // namespace resnet::images

// zlib streams in memory.
#pragma once

#include "images/decoders.h"

namespace resnet::images {

/// What a zlib stream holds; nothing if it is damaged or holds more than `most` bytes.
std::vector<std::uint8_t> inflated(Bytes stream, std::size_t most);

}  // namespace resnet::images

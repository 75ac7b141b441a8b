// What reading and writing of safetensors share: the format's constants, and our bounds.
#pragma once

#include <bit>
#include <cstddef>
#include <string_view>

#include "base/json.h"

namespace resnet::io {

static_assert(std::endian::native == std::endian::little, "files are little-endian and written as they lie");

inline constexpr std::size_t kLengthBytes = 8;  // of the header's length
inline constexpr std::size_t kMostHeader = std::size_t{8}
                                           << 20U;  // the format allows 100 MB; ResNet-152's has 0.4
inline constexpr std::size_t kMostTensors = std::size_t{1} << 14U;  // ResNet-152 has 932
inline constexpr std::string_view kMetadataKey = "__metadata__";
inline constexpr JsonLimits kHeaderLimits = {.bytes = kMostHeader,
                                             .text = kMostHeader};  // a graph is one text

inline constexpr std::string_view kNoTypeName = "?";  // of what no file holds

}  // namespace resnet::io

#include "images/inflate.h"

#include <zlib.h>

namespace resnet::images {

std::vector<std::uint8_t> inflated(Bytes stream, std::size_t most) {
  std::vector<std::uint8_t> out(most);
  uLongf length = static_cast<uLongf>(most);
  if (::uncompress(out.data(), &length, stream.data(), static_cast<uLong>(stream.size())) != Z_OK) return {};
  out.resize(length);
  return out;
}

}  // namespace resnet::images

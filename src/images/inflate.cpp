#include "images/inflate.h"

#include <zlib.h>

#include <new>

namespace resnet::images {

std::vector<std::uint8_t> inflated(Bytes stream, std::size_t most) {
  std::vector<std::uint8_t> out(most);
  uLongf length = static_cast<uLongf>(most);
  const int code = ::uncompress(out.data(), &length, stream.data(), static_cast<uLong>(stream.size()));
  if (code == Z_MEM_ERROR) throw std::bad_alloc();
  if (code != Z_OK) return {};
  out.resize(length);
  return out;
}

}  // namespace resnet::images

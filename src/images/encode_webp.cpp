#include "images/encode_webp.h"

#include <webp/encode.h>

#include <new>
#include <string>

#include "images/resample.h"
#include "resnet/error.h"

namespace resnet::images {

std::vector<std::uint8_t> encode_webp(const Image& image, float quality) {
  check_image(image);
  if (image.height > WEBP_MAX_DIMENSION || image.width > WEBP_MAX_DIMENSION)
    throw ShapeError("a WebP picture has sides of at most " + std::to_string(WEBP_MAX_DIMENSION) + " pixels");
  std::vector<std::uint8_t> colours;  // WebP knows no gray
  if (image.channels == 1) {
    colours.reserve(image.pixels.size() * 3);
    for (const std::uint8_t value : image.pixels) colours.insert(colours.end(), 3, value);
  }
  const std::vector<std::uint8_t>& pixels = image.channels == 1 ? colours : image.pixels;
  const int width = static_cast<int>(image.width), height = static_cast<int>(image.height);
  std::uint8_t* bytes = nullptr;
  const std::size_t size = WebPEncodeRGB(pixels.data(), width, height, 3 * width, quality, &bytes);
  if (size == 0) throw std::bad_alloc();
  std::vector<std::uint8_t> out;
  try {
    out.assign(bytes, bytes + size);
  } catch (...) {
    WebPFree(bytes);
    throw;
  }
  WebPFree(bytes);
  return out;
}

}  // namespace resnet::images

// The fuzzer of pictures: whatever the bytes are, decode() gives a picture or a FormatError of one line, and
// probe() agrees with it.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "resnet/error.h"
#include "resnet/images.h"

namespace {

void demand(bool fact, const char* what) {
  if (fact) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace images = resnet::images;
  const images::Limits limits = {.pixels = 1 << 18, .scan_pixels = 1 << 22};
  try {
    const images::Image image = images::decode({data, size}, limits);
    demand(image.channels == 3 &&
               static_cast<std::int64_t>(image.pixels.size()) == 3 * image.height * image.width,
           "a picture of another size");
    const images::Info info = images::probe({data, size});
    demand(info.height == image.height && info.width == image.width, "probe() says another size");
    const images::Image back = images::decode(images::encode_png(image));
    demand(back.height == image.height && back.pixels == image.pixels, "encode_png() is not read back");
  } catch (const resnet::FormatError& error) {
    const std::string what = error.what();
    demand(!what.empty() && what.size() <= 300 && what.find('\n') == std::string::npos, "no line");
  }
  return 0;
}

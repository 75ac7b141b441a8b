// Pictures: whatever the bytes are, decode() gives a picture of the size that probe() says, which PNG brings
// back, or a FormatError of one line. The inputs to begin with are those of the golden test.
#include <fstream>
#include <iterator>

#include "base/json.h"
#include "found.h"
#include "resnet/images.h"
#include "support/paths.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

bool run(std::string_view input) {
  const auto data = bytes_of(input);
  const images::Limits limits = {.pixels = 1 << 18, .scan_pixels = 1 << 22};
  return accepted<FormatError>("", [&] {
    const images::Image image = images::decode(data, limits);
    demand(image.channels == 3 &&
               static_cast<std::int64_t>(image.pixels.size()) == 3 * image.height * image.width,
           "a picture of another size");
    const images::Info info = images::probe(data);
    demand(info.height == image.height && info.width == image.width, "probe() says another size");
    const images::Image back = images::decode(images::encode_png(image));
    demand(back.height == image.height && back.pixels == image.pixels, "encode_png() is not read back");
  });
}

std::string content_of(const char* name) {
  std::ifstream file(test::golden_folder() / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

Target image_target() {
  constexpr std::size_t kMost = 4096;  // bytes: small ones reach as much
  Target target{
      "image",
      run,
      {},
      {"IHDR", "IDAT", "PLTE", "tRNS", "eXIf", "Exif", "VP8X", "VP8L", "ANMF", "\xff\xd8", "\xff\xda"}};
  const std::string files = content_of("pictures.bin");
  const Json golden = parse_json(content_of("pictures.json"));
  std::size_t at = 0;
  for (const Json& one : golden.find("cases")->elements()) {
    const std::size_t bytes = one.find("bytes")->natural();
    if (bytes <= kMost) target.seeds.push_back(files.substr(at, bytes));
    at += bytes;
  }
  return target;
}

}  // namespace resnet::fuzz

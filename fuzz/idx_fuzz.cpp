// IDX files, plain and packed. The first byte says which file the others are (bit 0: images, else labels),
// whether they are packed first (bit 1), followed by as many bytes as their header declares (bit 2), and
// whose files they are (bit 3: Fashion-MNIST's, else anybody's). What is accepted has pictures and labels
// that fit.
#include <zlib.h>

#include <algorithm>

#include "found.h"
#include "packed_bytes.h"
#include "resnet/data.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

std::size_t extent_at(std::string_view file, std::size_t axis) {
  std::size_t extent = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t at = 4 + 4 * axis + i;
    extent = extent << 8U | (at < file.size() ? static_cast<std::uint8_t>(file[at]) : 0U);
  }
  return extent;
}

std::string header(char type, const std::vector<std::size_t>& extents) {
  std::string bytes = {0, 0, type, static_cast<char>(extents.size())};
  for (const std::size_t extent : extents) {
    for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(extent >> shift);
  }
  return bytes;
}

// With zeros up to what the header declares, if that is little.
std::string filled(std::string file) {
  constexpr std::size_t kMost = std::size_t{1} << 14U;
  if (file.size() < 4) return file;
  const std::size_t axes = std::min<std::size_t>(static_cast<std::uint8_t>(file[3]), 8);
  std::size_t size = file[2] == 0x0b ? 2 : file[2] == 0x0c ? 4 : 1;
  for (std::size_t axis = 0; axis < axes; ++axis)
    size = std::min(kMost + 1, size * std::min(kMost, extent_at(file, axis)));
  if (size <= kMost) file.resize(4 + 4 * axes + size, '\0');
  return file;
}

void check(const data::Dataset& set) {
  demand(set.size() > 0, "a data set without examples");
  for (const std::int64_t i : {std::int64_t{0}, set.size() - 1}) {
    const std::int32_t label = set.label(i);
    demand(label >= 0 && static_cast<std::size_t>(label) < set.classes().size(), "a label without a class");
    const data::Image image = set.image(i);
    demand(static_cast<std::int64_t>(image.pixels.size()) == image.height * image.width * image.channels,
           "a picture of another size");
    demand(image.channels == set.example_shape()[0], "other channels");
  }
}

bool run(std::string_view input) {
  const int mode = input.empty() ? 0 : input.front();
  std::string file(input.substr(std::min<std::size_t>(input.size(), 1)));
  if ((mode & 4) != 0) file = filled(std::move(file));
  const bool images = (mode & 1) != 0, fashion = (mode & 8) != 0;
  const std::size_t count = std::clamp<std::size_t>(extent_at(file, 0), 1, 64);
  const std::string other = images ? header(8, {count}) + std::string(count, 1)
                                   : header(8, {count, 2, 2}) + std::string(4 * count, 7);
  if ((mode & 2) != 0) file = packed(file);
  const data::DatasetOptions options{.resize = {0, 0}, .dir = kFolder};
  return with_files({{"train-images-idx3-ubyte", images ? file : other},
                     {"train-labels-idx1-ubyte", images ? other : file}},
                    [&] {
                      return accepted<FormatError>(kFolder, [&] {
                        check((fashion ? data::fashion_mnist : data::idx)(data::Split::train, options));
                      });
                    });
}

}  // namespace

Target idx_target() {
  const std::string labels = header(8, {3}) + std::string("\x02\x00\x01", 3);
  const std::string images = header(8, {3, 2, 2}) + "abcdefghijkl";
  const std::string raw_images = "\x01", raw_labels(1, '\0');
  return {
      "idx",
      run,
      {raw_labels + labels, raw_images + images, raw_labels + packed(labels), raw_images + packed(images),
       "\x02" + labels, "\x03" + images, "\x05" + header(8, {2, 28, 28}), "\x05" + header(8, {2, 3, 4, 5}),
       "\x05" + header(8, {2, 4, 5, 3}), "\x0c" + header(8, {9}), "\x04" + header(0x0c, {4, 8}),
       "\x0d" + header(8, {4, 28, 28}), raw_labels + header(0x0b, {2}) + std::string("\x00\x05\x00\x09", 4)},
      {std::string("\x00\x00\x08\x03", 4), std::string("\x00\x00\x08\x01", 4), "\x1f\x8b\x08",
       std::string("\x00\x00\x00\x01", 4), "\xff\xff\xff\xff", std::string("\x00\x01\x00\x00", 4)}};
}

}  // namespace resnet::fuzz

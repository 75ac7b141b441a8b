// CIFAR's binary files. The first byte says whether it is CIFAR-100 (bit 0), and what the others are: the
// file (bits 1 and 2 clear), that file packed (bit 1), the names of the classes (bit 2), or the labels of
// records whose pixels are zero (both). What is accepted has pictures of 32x32 and labels with a class.
#include <algorithm>

#include "found.h"
#include "packed_bytes.h"
#include "resnet/data.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

constexpr std::size_t kPixels = 3072;

std::string records(std::string_view labels, std::size_t front) {
  std::string file;
  for (std::size_t i = 0; i < std::min<std::size_t>(labels.size() / front, 8); ++i)
    file.append(labels.substr(i * front, front)).append(kPixels, '\0');
  return file.append(labels.substr(labels.size() / front * front));
}

bool run(std::string_view input) {
  const int mode = input.empty() ? 0 : input.front();
  const std::string_view rest = input.substr(std::min<std::size_t>(input.size(), 1));
  const bool fine = (mode & 1) != 0;
  const std::size_t front = fine ? 2 : 1;
  const char* const names = fine ? "fine_label_names.txt" : "batches.meta.txt";
  const char* const file = fine ? "test.bin" : "test_batch.bin";
  std::map<std::string, std::string> files;
  switch (mode >> 1 & 3) {
    case 0:
      files[file] = rest;
      break;
    case 1:
      files[file] = packed(std::string(rest));
      break;
    case 2:
      files[names] = rest;
      files[file] = records("\x01\x02", front);
      break;
    default:
      files[file] = records(rest, front);
  }
  return with_files(files, [&] {
    return accepted<FormatError>(kFolder, [&] {
      const data::Dataset set =
          (fine ? data::cifar100 : data::cifar10)(data::Split::test, {.resize = {0, 0}, .dir = kFolder});
      demand(set.size() > 0 && set.classes().size() == (fine ? 100 : 10), "another data set");
      for (std::int64_t i = 0; i < std::min<std::int64_t>(set.size(), 8); ++i) {
        const std::int32_t label = set.label(i);
        demand(label >= 0 && static_cast<std::size_t>(label) < set.classes().size(),
               "a label without a class");
        demand(set.image(i).pixels.size() == kPixels, "a picture of another size");
      }
    });
  });
}

}  // namespace

Target cifar_target() {
  std::string ten;
  for (int i = 0; i < 10; ++i) ten += "class" + std::to_string(i) + "\n";
  const std::string record = "\x03" + std::string(kPixels, 'p');
  return {"cifar",
          run,
          {std::string(1, '\0') + record, "\x01\x13" + record.substr(0, kPixels + 1), "\x02" + record,
           "\x04" + ten, "\x05" + ten, std::string("\x06\x00\x09\x0a", 4),
           std::string("\x07\x01\x02\x13\x63", 5)},
          {"\x1f\x8b\x08", "\r\n", "\n", "\xe2\x80\xae", std::string(256, 'n'), std::string(kPixels, 'q')}};
}

}  // namespace resnet::fuzz

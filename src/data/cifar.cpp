// CIFAR-10 and CIFAR-100 in their binary form: records of labels and three planes of 32x32 bytes.
// Source of the format: Krizhevsky, "The CIFAR-10 dataset" (the binary version).
#include <fmt/format.h>

#include <fstream>

#include "data/byte_images.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSide = 32;
constexpr std::int64_t kPlane = kSide * kSide;
constexpr std::int64_t kPixels = 3 * kPlane;

struct Family {
  const char* name;
  std::int64_t labels;  // bytes of labels in front of a record; the last is the class
  std::size_t classes;
  const char* class_names;  // file
  std::vector<std::string> train, test;
};

// Class names, a line each, or their numbers where the file is missing.
std::vector<std::string> class_names(const fs::path& file, std::size_t classes) {
  std::vector<std::string> names;
  std::ifstream in(file);
  for (std::string line; names.size() < classes && std::getline(in, line);) {
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() == classes) return names;
  names.clear();
  for (std::size_t k = 0; k < classes; ++k) names.push_back(std::to_string(k));
  return names;
}

Dataset load(const Family& family, Split split, const DatasetOptions& options) {
  const fs::path folder = data_folder(options, ".");
  const std::int64_t record = family.labels + kPixels;
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;
  for (const std::string& name : split == Split::train ? family.train : family.test) {
    const fs::path path = folder / name;
    if (!fs::exists(path)) {
      throw IoError(fmt::format("{} is not in {}: {} is missing", family.name, folder.string(), name),
                    fmt::format("--data-dir DIR with the binary version of {}", family.name));
    }
    constexpr std::int64_t kMostRecords = 1'000'000;
    const std::vector<std::uint8_t> bytes = read_packed(path, kMostRecords * record + 1);
    const auto size = static_cast<std::int64_t>(bytes.size());
    if (size == 0 || size % record != 0 || size > kMostRecords * record) {
      throw FormatError(fmt::format("{}: {} bytes are not whole records of {}", path.string(), size, record),
                        "get the file again");
    }
    for (std::int64_t at = 0; at < size; at += record) {
      const std::uint8_t label = bytes[static_cast<std::size_t>(at + family.labels - 1)];
      if (label >= family.classes) {
        throw FormatError(fmt::format("{}: label {} of {} classes in record {}", path.string(), label,
                                      family.classes, at / record),
                          "is it a file of this data set?");
      }
      labels.push_back(label);
      const std::uint8_t* planes = bytes.data() + at + family.labels;
      for (std::int64_t i = 0; i < kPlane; ++i) {
        for (std::int64_t c = 0; c < 3; ++c) pixels.push_back(planes[c * kPlane + i]);
      }
    }
  }
  const Preprocessing preprocessing{options.resize, 3};
  return {std::make_shared<ByteImages>(kSide, kSide, 3, std::move(pixels), std::move(labels)),
          family.name,
          class_names(folder / family.class_names, family.classes),
          preprocessing,
          preprocessed_shape(preprocessing, kSide, kSide),
          options.limit};
}

}  // namespace

Dataset cifar10(Split split, const DatasetOptions& options) {
  static const Family family = {
      "cifar10",
      1,
      10,
      "batches.meta.txt",
      {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
      {"test_batch.bin"}};
  return load(family, split, options);
}

Dataset cifar100(Split split, const DatasetOptions& options) {
  static const Family family = {"cifar100", 2, 100, "fine_label_names.txt", {"train.bin"}, {"test.bin"}};
  return load(family, split, options);
}

}  // namespace resnet::data

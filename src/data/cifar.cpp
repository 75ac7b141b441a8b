// CIFAR-10 and CIFAR-100 in their binary form: records of labels and three planes of 32x32 bytes.
// Source of the format: Krizhevsky, "The CIFAR-10 dataset" (the binary version).
#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "data/byte_images.h"
#include "data/folder.h"
#include "data/packed.h"
#include "data/preprocess.h"
#include "data/sources.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSide = 32;
constexpr std::int64_t kPlane = kSide * kSide;
constexpr std::int64_t kPixels = 3 * kPlane;

struct Variant {
  std::vector<std::size_t> labels;  // in front of a record, the classes of each label; the last one counts
  const char* class_names;          // file
  std::vector<std::string> train, test;
};

// Class names, a line each; their numbers where the file is missing.
std::vector<std::string> class_names(const fs::path& path, std::size_t classes) {
  if (!path_exists(path)) return numbered_classes(classes);
  std::vector<std::string> names = lines_of(read_text(path));
  std::erase(names, "");
  check_classes(path.string(), names, "names are UTF-8, of at most 256 bytes, one a line");
  if (names.size() != classes) {
    throw FormatError(fmt::format("{}: {} class names, expected {}", path.string(), names.size(), classes),
                      "one name a line; without the file, classes are called by their numbers");
  }
  return names;
}

struct Examples {
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> labels;
};

// Appends the records of a file, planes made pixels.
void append_records(const fs::path& path, const DataSource& source, const Variant& variant,
                    Examples& examples) {
  const auto front = static_cast<std::int64_t>(variant.labels.size());
  const std::int64_t record = front + kPixels;
  constexpr std::int64_t kMostRecords = 1'000'000;  // a file of CIFAR has at most 50,000
  PackedFile file(path);
  const std::vector<std::uint8_t> bytes = file.read(kMostRecords * record + 1);
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size > kMostRecords * record) {
    throw FormatError(fmt::format("{}: more than {} records", path.string(), kMostRecords),
                      fmt::format("is it a file of {}?", source.title));
  }
  if (size == 0 || size % record != 0) {
    throw FormatError(
        fmt::format("{}: truncated, {} bytes are not whole records of {} bytes", path.string(), size, record),
        fmt::format("get the file again, and the binary version of {}", source.title));
  }
  const std::int64_t count = size / record;
  auto at = static_cast<std::int64_t>(examples.pixels.size());
  examples.pixels.resize(static_cast<std::size_t>(at + count * kPixels));
  for (std::int64_t r = 0; r < count; ++r) {
    const std::uint8_t* labels = bytes.data() + r * record;
    for (std::int64_t k = 0; k < front; ++k) {
      const std::size_t classes = variant.labels[static_cast<std::size_t>(k)];
      if (labels[k] < classes) continue;
      throw FormatError(fmt::format("{}: {}label {} of record {}, but {} has classes 0 to {}", path.string(),
                                    k + 1 < front ? "coarse " : "", labels[k], r, source.title, classes - 1),
                        fmt::format("is it a file of {}?", source.title));
    }
    examples.labels.push_back(labels[front - 1]);
    const std::uint8_t* planes = labels + front;
    std::uint8_t* out = examples.pixels.data() + at + r * kPixels;
    for (std::int64_t i = 0; i < kPlane; ++i) {
      for (std::int64_t c = 0; c < 3; ++c) out[3 * i + c] = planes[c * kPlane + i];
    }
  }
}

Dataset load(const DataSource& source, const Variant& variant, Split split, const DatasetOptions& options) {
  const std::vector<std::string>& files = split == Split::train ? variant.train : variant.test;
  const fs::path given = data_folder(options, source.title);
  const fs::path folder =
      folder_with(given, [&](const fs::path& place) { return path_exists(place / files.front()); });
  for (const std::string& name : files) {
    if (!path_exists(folder / name)) {
      const std::string tilde = unexpanded(folder);
      throw IoError(fmt::format("{} is not in {}: {} is missing{}", source.title, folder.string(), name,
                                found_in(folder)),
                    tilde.empty()
                        ? "give the folder with the files of the binary version as DatasetOptions::dir"
                        : tilde);
    }
  }
  for (const auto& names : {variant.train, variant.test, {variant.class_names}}) {
    for (const std::string& name : names) {
      if (options.opening) options.opening(folder / name);
    }
  }
  Examples examples;
  for (const std::string& name : files) append_records(folder / name, source, variant, examples);
  const Preprocessing preprocessing = preprocessing_of(options, 3);
  return {
      std::make_shared<ByteImages>(kSide, kSide, 3, std::move(examples.pixels), std::move(examples.labels)),
      std::string(source.name),
      class_names(folder / variant.class_names, variant.labels.back()),
      preprocessing,
      preprocessed_shape(preprocessing, kSide, kSide),
      options.limit};
}

}  // namespace

Dataset cifar10(Split split, const DatasetOptions& options) {
  static const Variant variant = {
      {10},
      "batches.meta.txt",
      {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
      {"test_batch.bin"}};
  return load(data_source(cifar10), variant, split, options);
}

Dataset cifar100(Split split, const DatasetOptions& options) {
  static const Variant variant = {{20, 100}, "fine_label_names.txt", {"train.bin"}, {"test.bin"}};
  return load(data_source(cifar100), variant, split, options);
}

}  // namespace resnet::data

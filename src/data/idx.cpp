// The MNIST family: images and labels in IDX files.
// Source of the format: LeCun, Cortes, Burges, "The MNIST database".
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "data/byte_images.h"
#include "data/folder.h"
#include "data/packed.h"
#include "data/sources.h"
#include "images/resample.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGetAgain = "the file is damaged or incomplete: get it again";
constexpr const char* kNotIdx = "the header is damaged, or it is not an IDX file";

struct Idx {
  std::vector<std::int64_t> extents;
  std::vector<std::uint8_t> values;
};

// Reads an IDX file of bytes with `dimensions` axes. Never unpacks more than the header declares and
// one byte, so that a small file cannot fill the memory.
Idx read_idx(const fs::path& path, std::size_t dimensions) {
  const std::string name = path.string();
  PackedFile file(path);
  const auto read_header = [&](std::span<std::uint8_t> bytes) {
    if (file.read(bytes) < static_cast<std::int64_t>(bytes.size())) {
      throw FormatError(name + ": truncated, the IDX header ends early", kGetAgain);
    }
  };
  std::array<std::uint8_t, 4> magic{};
  read_header(magic);
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != 0x08 || magic[3] != dimensions) {
    throw FormatError(fmt::format("{}: wrong magic number {:02x}{:02x}{:02x}{:02x}, expected 000008{:02x}",
                                  name, magic[0], magic[1], magic[2], magic[3], dimensions),
                      "is it an IDX file of unsigned bytes, images and labels not mixed up?");
  }
  Idx idx;
  std::int64_t count = 1;
  constexpr std::int64_t kMost = std::int64_t{1} << 32;  // 4 GiB of pixels; the largest EMNIST has 0.6
  for (std::size_t axis = 0; axis < dimensions; ++axis) {
    std::array<std::uint8_t, 4> bytes{};
    read_header(bytes);
    std::int64_t extent = 0;  // big-endian
    for (const std::uint8_t byte : bytes) extent = extent << 8 | byte;
    if (extent == 0) throw FormatError(fmt::format("{}: extent {} is 0", name, axis), kNotIdx);
    // Both are below 2^32, so the product fits once each is compared.
    if (extent > kMost / count) {
      throw FormatError(fmt::format("{}: its extents are too large, more than {} bytes", name, kMost),
                        kNotIdx);
    }
    count *= extent;
    idx.extents.push_back(extent);
  }
  idx.values = file.read(count + 1);
  const auto got = static_cast<std::int64_t>(idx.values.size());
  if (got < count) {
    throw FormatError(
        fmt::format("{}: truncated, {} bytes behind the header, {} are declared", name, got, count),
        kGetAgain);
  }
  if (got > count) {
    throw FormatError(fmt::format("{}: trailing bytes, more than the {} that are declared", name, count),
                      kGetAgain);
  }
  return idx;
}

const char* prefix_of(Split split) {
  return split == Split::train ? "train" : "t10k";
}

// The file called `name`, without .gz or with it, or an empty path.
fs::path find_file(const fs::path& folder, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    fs::path path = folder / (name + ending);
    if (path_exists(path)) return path;
  }
  return {};
}

std::string images_name(Split split) {
  return fmt::format("{}-images-idx3-ubyte", prefix_of(split));
}
std::string labels_name(Split split) {
  return fmt::format("{}-labels-idx1-ubyte", prefix_of(split));
}

struct Family {
  std::string name;
  std::string_view title;
  std::vector<std::string> classes;  // empty: as many as the highest label says, called by their numbers
  std::string hint;                  // where a file is missing
};

fs::path need_file(const fs::path& folder, const std::string& name, const Family& family) {
  fs::path path = find_file(folder, name);
  if (path.empty()) {
    const std::string tilde = unexpanded(folder);
    throw IoError(fmt::format("{} is not in {}: {}[.gz] is missing", family.title, folder.string(), name),
                  tilde.empty() ? family.hint : tilde);
  }
  return path;
}

// The classes of a data set that does not name them. Both splits have the same ones, so the labels of
// the other split count where they are there.
std::vector<std::string> classes_of(const fs::path& folder, Split split,
                                    const std::vector<std::uint8_t>& labels) {
  std::uint8_t highest = *std::max_element(labels.begin(), labels.end());
  const Split other = split == Split::train ? Split::test : Split::train;
  if (const fs::path path = find_file(folder, labels_name(other)); !path.empty()) {
    const Idx others = read_idx(path, 1);
    highest = std::max(highest, *std::max_element(others.values.begin(), others.values.end()));
  }
  return numbered_classes(std::size_t{highest} + 1);
}

Dataset load(const fs::path& folder, Split split, Family family, const DatasetOptions& options) {
  const fs::path images_path = need_file(folder, images_name(split), family);
  const fs::path labels_path = need_file(folder, labels_name(split), family);
  Idx images = read_idx(images_path, 3);
  Idx labels = read_idx(labels_path, 1);
  if (images.extents[0] != labels.extents[0]) {
    throw FormatError(fmt::format("{} images in {}, but {} labels in {}", images.extents[0],
                                  images_path.string(), labels.extents[0], labels_path.string()),
                      "the two files do not belong together");
  }
  const std::int64_t height = images.extents[1];
  const std::int64_t width = images.extents[2];
  if (height > images::kMostPixels || width > images::kMostPixels) {
    throw FormatError(fmt::format("{}: images of {}x{}, sides of at most {} pixels are supported",
                                  images_path.string(), height, width, images::kMostPixels),
                      kNotIdx);
  }
  if (family.classes.empty()) family.classes = classes_of(folder, split, labels.values);
  const auto wrong = std::find_if(labels.values.begin(), labels.values.end(),
                                  [&](std::uint8_t label) { return label >= family.classes.size(); });
  if (wrong != labels.values.end()) {
    throw FormatError(
        fmt::format("{}: label {} of example {}, but {} has classes 0 to {}", labels_path.string(), *wrong,
                    wrong - labels.values.begin(), family.title, family.classes.size() - 1),
        fmt::format("is it the labels' file of this data set? another one opens as {}",
                    data_source(idx).usage()));
  }
  const Preprocessing preprocessing{options.resize, 1};
  return {std::make_shared<ByteImages>(height, width, 1, std::move(images.values),
                                       std::vector<std::int32_t>(labels.values.begin(), labels.values.end())),
          std::move(family.name),
          std::move(family.classes),
          preprocessing,
          preprocessed_shape(preprocessing, height, width),
          options.limit};
}

}  // namespace

Dataset fashion_mnist(Split split, const DatasetOptions& options) {
  const DataSource& source = data_source(fashion_mnist);
  return load(data_folder(options, source.title, "/usr/share/datasets/fashion-mnist"), split,
              {std::string(source.name),
               source.title,
               {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                "Ankle boot"},
               "sudo apt-get install dataset-fashion-mnist, or give the four files in DatasetOptions::dir"},
              options);
}

Dataset idx(Split split, const DatasetOptions& options) {
  const DataSource& source = data_source(idx);
  const fs::path folder = data_folder(options, source.title);
  return load(
      folder, split,
      {source.completion() + folder.string(), source.title, {}, "the folder needs MNIST's four file names"},
      options);
}

}  // namespace resnet::data

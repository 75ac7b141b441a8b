// The MNIST family: images and labels in IDX files.
// Source of the format: LeCun, Cortes, Burges, "The MNIST database".
#include <fmt/format.h>

#include <algorithm>

#include "data/byte_images.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;

struct Idx {
  std::vector<std::int64_t> extents;
  std::vector<std::uint8_t> values;
};

// Reads an IDX file of bytes with `dimensions` axes. Never unpacks more than the header declares and
// one byte, so that a small file cannot fill the memory.
Idx read_idx(const fs::path& path, std::size_t dimensions) {
  const std::string name = path.string();
  const std::size_t header = 4 + 4 * dimensions;
  const std::vector<std::uint8_t> head = read_packed(path, static_cast<std::int64_t>(header));
  if (head.size() < header) throw FormatError(name + ": the IDX header ends early", "get the file again");
  if (head[0] != 0 || head[1] != 0 || head[2] != 0x08 || head[3] != dimensions) {
    throw FormatError(fmt::format("{}: wrong magic number {:02x}{:02x}{:02x}{:02x}, expected 000008{:02x}",
                                  name, head[0], head[1], head[2], head[3], dimensions),
                      "is it an IDX file of unsigned bytes, images and labels not mixed up?");
  }
  Idx idx;
  std::int64_t count = 1;
  constexpr std::int64_t kMost = std::int64_t{1} << 34;  // 16 GiB of pixels
  for (std::size_t axis = 0; axis < dimensions; ++axis) {
    std::int64_t extent = 0;
    for (std::size_t byte = 0; byte < 4; ++byte) extent = extent << 8 | head[4 + 4 * axis + byte];
    if (extent == 0) throw FormatError(fmt::format("{}: extent {} is 0", name, axis), "get the file again");
    if (__builtin_mul_overflow(count, extent, &count) || count > kMost) {
      throw FormatError(fmt::format("{}: its extents are too large", name),
                        "the header is damaged, or not an IDX header");
    }
    idx.extents.push_back(extent);
  }
  const auto expected = static_cast<std::int64_t>(header) + count;
  idx.values = read_packed(path, expected + 1);
  const auto got = static_cast<std::int64_t>(idx.values.size());
  if (got < expected) {
    throw FormatError(fmt::format("{}: {} bytes are declared, {} are there", name, expected, got),
                      "get the file again");
  }
  if (got > expected) {
    throw FormatError(fmt::format("{}: more bytes than the {} that are declared", name, expected),
                      "get the file again");
  }
  idx.values.erase(idx.values.begin(), idx.values.begin() + static_cast<std::ptrdiff_t>(header));
  return idx;
}

// The file called `name`, with .gz or without, or an empty path.
fs::path find_file(const fs::path& folder, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    fs::path path = folder / (name + ending);
    if (fs::exists(path)) return path;
  }
  return {};
}

struct Files {
  fs::path images, labels;
};

Files find_files(const fs::path& folder, Split split, const std::string& what, const std::string& hint) {
  const std::string prefix = split == Split::train ? "train" : "t10k";
  Files files;
  for (const auto& [path, name] : {std::pair(&files.images, prefix + "-images-idx3-ubyte"),
                                   std::pair(&files.labels, prefix + "-labels-idx1-ubyte")}) {
    *path = find_file(folder, name);
    if (path->empty())
      throw IoError(fmt::format("{} is not in {}: {}[.gz] is missing", what, folder.string(), name), hint);
  }
  return files;
}

// Without class names: as many classes as the highest label says, called by their numbers.
Dataset load(const Files& files, std::string name, std::vector<std::string> class_names,
             const DatasetOptions& options) {
  Idx images = read_idx(files.images, 3);
  Idx labels = read_idx(files.labels, 1);
  if (images.extents[0] != labels.extents[0]) {
    throw FormatError(fmt::format("{} images in {}, but {} labels in {}", images.extents[0],
                                  files.images.string(), labels.extents[0], files.labels.string()),
                      "the two files do not belong together");
  }
  const std::uint8_t highest = *std::max_element(labels.values.begin(), labels.values.end());
  if (class_names.empty()) {
    for (int label = 0; label <= highest; ++label) class_names.push_back(std::to_string(label));
  } else if (highest >= class_names.size()) {
    throw FormatError(
        fmt::format("{}: label {} of {} classes", files.labels.string(), highest, class_names.size()),
        "is it the labels' file of this data set?");
  }
  const std::int64_t height = images.extents[1];
  const std::int64_t width = images.extents[2];
  const Preprocessing preprocessing{options.resize, 1};
  return {std::make_shared<ByteImages>(height, width, 1, std::move(images.values), std::move(labels.values)),
          std::move(name),
          std::move(class_names),
          preprocessing,
          preprocessed_shape(preprocessing, height, width),
          options.limit};
}

}  // namespace

Dataset fashion_mnist(Split split, const DatasetOptions& options) {
  const fs::path folder = data_folder(options, "/usr/share/datasets/fashion-mnist");
  const Files files =
      find_files(folder, split, "Fashion-MNIST",
                 "sudo apt-get install dataset-fashion-mnist, or --data-dir DIR with its four files");
  return load(files, "fashion-mnist",
              {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
               "Ankle boot"},
              options);
}

Dataset idx(Split split, const DatasetOptions& options) {
  const Files files =
      find_files(options.dir, split, "an IDX data set", "the folder needs MNIST's four file names");
  return load(files, "idx:" + options.dir.string(), {}, options);
}

}  // namespace resnet::data

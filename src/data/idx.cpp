// The MNIST family: images and labels in IDX files.
// Source of the format: LeCun, Cortes, Burges, "The MNIST database".
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>

#include "base/files.h"
#include "base/text.h"
#include "data/byte_images.h"
#include "data/folder.h"
#include "data/packed.h"
#include "data/preprocess.h"
#include "data/sources.h"
#include "images/resample.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGetAgain = "the file is damaged or incomplete: get it again";
constexpr const char* kNotIdx = "the header is damaged, or it is not an IDX file";

struct Idx {
  std::vector<std::int64_t> extents;
  std::int64_t bytes = 1;  // of a value, the high one first
  std::vector<std::uint8_t> values;
};

// What a file holds, and what its first four bytes say of that: 00 00, the kind of values, the number of
// axes.
struct Content {
  std::uint8_t usual;  // axes
  std::uint8_t most;   // the same
  bool wide;           // whether values may be of two or four bytes
};
constexpr Content kImages = {3, 4, false};  // with four axes: in colour
constexpr Content kLabels = {1, 2, true};   // of two axes, if they are wide (QMNIST): the first column

std::int64_t bytes_of(std::uint8_t type) {
  return type == 0x08 ? 1 : type == 0x0b ? 2 : type == 0x0c ? 4 : 0;
}

// Given the first extent, before anything is read behind the header.
using CountCheck = std::function<void(std::int64_t count)>;

// Never unpacks more than the header declares and one byte, so that a small file cannot fill the memory.
Idx read_idx(const fs::path& path, const Content& kind, const CountCheck& check_count = {}) {
  const std::string name = path.string();
  PackedFile file(path);
  const auto read_header = [&](std::span<std::uint8_t> bytes) {
    if (file.read(bytes) < static_cast<std::int64_t>(bytes.size())) {
      throw FormatError(name + ": truncated, the IDX header ends early", kGetAgain);
    }
  };
  std::array<std::uint8_t, 4> magic{};
  read_header(magic);
  Idx idx;
  idx.bytes = bytes_of(magic[2]);
  if (magic[0] != 0 || magic[1] != 0 || idx.bytes == 0 || (idx.bytes > 1 && !kind.wide) ||
      magic[3] < kind.usual || magic[3] > (kind.wide && idx.bytes == 1 ? kind.usual : kind.most)) {
    throw FormatError(fmt::format("{}: wrong magic number {:02x}{:02x}{:02x}{:02x}, expected 000008{:02x}",
                                  name, magic[0], magic[1], magic[2], magic[3], kind.usual),
                      "is it an IDX file of unsigned bytes, images and labels not mixed up?");
  }
  std::int64_t count = idx.bytes;
  constexpr std::int64_t kMost = std::int64_t{1} << 32;  // 4 GiB of pixels; the largest EMNIST has 0.6
  for (std::uint8_t axis = 0; axis < magic[3]; ++axis) {
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
  if (check_count) check_count(idx.extents.front());
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

template <class Each>
void for_each_label(const fs::path& path, const CountCheck& check_count, const Each& each) {
  const Idx idx = read_idx(path, kLabels, check_count);
  const std::int64_t row = idx.bytes * (idx.extents.size() > 1 ? idx.extents[1] : 1);
  for (std::int64_t i = 0; i < idx.extents[0]; ++i) {
    std::int64_t label = 0;
    for (std::int64_t k = 0; k < idx.bytes; ++k)
      label = label << 8 | idx.values[static_cast<std::size_t>(i * row + k)];
    const std::int64_t negative = std::int64_t{1} << (8 * idx.bytes - 1);
    if (idx.bytes > 1 && label >= negative) label -= 2 * negative;
    if (label < 0) {
      throw FormatError(fmt::format("{}: label {} of example {}", path.string(), label, i),
                        "labels are whole numbers from 0");
    }
    each(label);
  }
}

// Pictures [n][height][width][channels].
struct Pictures {
  std::int64_t count = 0, height = 0, width = 0, channels = 1;
  std::vector<std::uint8_t> pixels;
};

Pictures read_pictures(const fs::path& path) {
  Idx idx = read_idx(path, kImages);
  std::vector<std::int64_t>& e = idx.extents;
  const auto is_channels = [](std::int64_t extent) { return extent == 1 || extent == 3; };
  Pictures pictures{e[0], e[1], e[2], 1, std::move(idx.values)};
  if (e.size() == 3) return pictures;
  if (is_channels(e[3])) {
    pictures.channels = e[3];
    return pictures;
  }
  if (!is_channels(e[1])) {
    throw FormatError(fmt::format("{}: images of {}x{}x{}", path.string(), e[1], e[2], e[3]),
                      "of four axes the last or the second must be 1 (gray) or 3 (RGB)");
  }
  const std::int64_t area = e[2] * e[3];
  const std::vector<std::uint8_t> planes = std::move(pictures.pixels);
  pictures = {e[0], e[2], e[3], e[1], std::vector<std::uint8_t>(planes.size())};
  for (std::int64_t n = 0; n < e[0]; ++n) {
    const std::uint8_t* from = planes.data() + n * e[1] * area;
    std::uint8_t* to = pictures.pixels.data() + n * e[1] * area;
    for (std::int64_t i = 0; i < area; ++i) {
      for (std::int64_t c = 0; c < e[1]; ++c) *to++ = from[c * area + i];
    }
  }
  return pictures;
}

std::string images_name(Split split) {
  return split == Split::train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte";
}
std::string labels_name(Split split) {
  return split == Split::train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte";
}

// What a file is by its name, in the spellings in which people have them.
struct Role {
  std::string set;  // "emnist-letters" of emnist-letters-train-...; mostly ""
  Split split = Split::train;
  bool labels = false;
  bool packed = false;
};

std::optional<Role> role_of(std::string name) {
  name = lower_case(name);
  std::ranges::replace_if(
      name, [](char c) { return c == '.' || c == '_'; }, '-');
  Role role;
  if (name.ends_with("-gz")) {
    role.packed = true;
    name.erase(name.size() - 3);
  }
  const std::size_t images = name.find("-images-idx");
  const std::size_t at = images == std::string::npos ? name.find("-labels-idx") : images;
  if (at == std::string::npos || (!name.ends_with("-ubyte") && !name.ends_with("-int"))) return std::nullopt;
  role.labels = images == std::string::npos;
  std::string front = name.substr(0, at);
  for (const auto& [word, split] :
       {std::pair("train", Split::train), std::pair("t10k", Split::test), std::pair("test", Split::test)}) {
    if (!front.ends_with(word)) continue;
    front.erase(front.size() - std::string_view(word).size());
    if (!front.empty() && front.back() != '-') return std::nullopt;
    role.split = split;
    role.set = front.substr(0, front.empty() ? 0 : front.size() - 1);
    return role;
  }
  return std::nullopt;
}

// The files of one data set.
struct Files {
  std::array<fs::path, 2> images, labels;  // by split; empty: there is none
  fs::path& at(const Role& role) {
    return (role.labels ? labels : images)[role.split == Split::train ? 0 : 1];
  }
};

// The data sets of a folder, by what stands in front of their names. A packed file goes behind a plain one,
// and a folder that an unpacker made stands for the file of its name in it.
std::map<std::string, Files> sets_in(const fs::path& folder) {
  std::map<std::string, Files> sets;
  for (const fs::path& name : names_in(folder)) {
    std::optional<Role> role = role_of(name.string());
    if (!role) continue;
    fs::path path = folder / name;
    for (const fs::path& inner : names_in(path)) {
      const std::optional<Role> of = role_of(inner.string());
      if (of && of->set == role->set && of->split == role->split && of->labels == role->labels) {
        path /= inner;
        break;  // under one of its names
      }
    }
    if (is_folder(path)) continue;
    fs::path& place = sets[role->set].at(*role);
    if (place.empty() || (!role->packed && role_of(place.filename().string())->packed)) place = path;
  }
  return sets;
}

struct Family {
  std::string name;
  std::string_view title;
  std::vector<std::string> classes;  // empty: the labels from the lowest to the highest, named by number
  std::string hint;                  // where a file is missing
  std::string_view word = {};        // in the names of its folders, where there are others beside them
};

Files files_of(const fs::path& given, const Family& family) {
  if (!is_folder(given)) {  // DIR/emnist-letters
    auto sets = sets_in(given.has_parent_path() ? given.parent_path() : fs::path("."));
    if (const auto found = sets.find(given.filename().string()); found != sets.end()) return found->second;
  }
  const fs::path folder = folder_with(
      given, [](const fs::path& place) { return !sets_in(place).empty(); }, family.word);
  auto sets = sets_in(folder);
  if (sets.empty()) return {};
  if (sets.contains("")) return sets[""];
  if (sets.size() == 1) return sets.begin()->second;
  std::string names;
  for (const auto& [name, files] : sets) names += (names.empty() ? "" : ", ") + name;
  throw IoError(fmt::format("{} has several data sets: {}", folder.string(), names),
                fmt::format("give one of them: {}", (folder / sets.begin()->first).string()) +
                    (family.classes.empty() ? "" : ", or a folder that has one alone"));
}

const fs::path& need_file(const fs::path& folder, const fs::path& path, const std::string& name,
                          const Family& family) {
  if (!path.empty()) return path;
  const std::string tilde = unexpanded(folder);
  throw IoError(fmt::format("{} is not in {}: {}[.gz] is missing{}", family.title, folder.string(), name,
                            found_in(folder)),
                tilde.empty() ? family.hint : tilde);
}

// The lowest label (EMNIST's letters begin at 1) and the highest one of both splits, as far as they are
// there: both have the same classes.
std::pair<std::int64_t, std::int64_t> range_of(const Files& files, std::size_t own,
                                               const std::vector<std::int64_t>& labels) {
  auto [least, most] = std::minmax_element(labels.begin(), labels.end());
  std::pair<std::int64_t, std::int64_t> range(*least, *most);
  if (const fs::path& other = files.labels[1 - own]; !other.empty()) {
    for_each_label(other, {}, [&](std::int64_t label) {
      range = {std::min(range.first, label), std::max(range.second, label)};
    });
  }
  if (range.second - range.first >= static_cast<std::int64_t>(kMostClasses)) {
    throw FormatError(
        fmt::format("{}: labels from {} to {}", files.labels[own].string(), range.first, range.second),
        fmt::format("at most {} classes are supported: is it a file of labels?", kMostClasses));
  }
  return range;
}

// Whose files have the names, the shapes and the labels of Fashion-MNIST.
bool is_mnist(Split split, const std::vector<std::int64_t>& labels) {
  constexpr std::array<std::int64_t, 10> kTrain = {5, 0, 4, 1, 9, 2, 1, 3, 1, 4},
                                         kTest = {7, 2, 1, 0, 4, 1, 4, 9, 5, 9};
  const auto& begin = split == Split::train ? kTrain : kTest;
  return labels.size() >= begin.size() && std::equal(begin.begin(), begin.end(), labels.begin());
}

Dataset load(const fs::path& folder, Split split, Family family, const DatasetOptions& options) {
  const std::size_t own = split == Split::train ? 0 : 1;
  const Files files = files_of(folder, family);
  const fs::path images_path = need_file(folder, files.images[own], images_name(split), family);
  const fs::path labels_path = need_file(folder, files.labels[own], labels_name(split), family);
  for (const auto& paths : {files.images, files.labels}) {
    for (const fs::path& path : paths) {
      if (options.opening && !path.empty()) options.opening(path);
    }
  }
  Pictures images = read_pictures(images_path);
  const auto check_count = [&](std::int64_t count) {
    if (images.count == count) return;
    throw FormatError(fmt::format("{} images in {}, but {} labels in {}", images.count, images_path.string(),
                                  count, labels_path.string()),
                      "the two files do not belong together");
  };
  std::vector<std::int64_t> labels;
  labels.reserve(static_cast<std::size_t>(images.count));
  for_each_label(labels_path, check_count, [&](std::int64_t label) { labels.push_back(label); });
  if (images.height > images::kMostPixels || images.width > images::kMostPixels) {
    throw FormatError(fmt::format("{}: images of {}x{}, sides of at most {} pixels are supported",
                                  images_path.string(), images.height, images.width, images::kMostPixels),
                      kNotIdx);
  }
  std::vector<std::int32_t> classes;
  if (family.classes.empty()) {
    const auto [lowest, highest] = range_of(files, own, labels);
    for (std::int64_t label = lowest; label <= highest; ++label)
      family.classes.push_back(std::to_string(label));
    for (const std::int64_t label : labels) classes.push_back(static_cast<std::int32_t>(label - lowest));
  } else {
    const auto most = static_cast<std::int64_t>(family.classes.size());
    const auto wrong =
        std::find_if(labels.begin(), labels.end(), [&](std::int64_t label) { return label >= most; });
    if (wrong != labels.end()) {
      throw FormatError(
          fmt::format("{}: label {} of example {}, but {} has classes 0 to {}", labels_path.string(), *wrong,
                      wrong - labels.begin(), family.title, most - 1),
          fmt::format("is it the labels' file of this data set? another one opens as {}",
                      data_source(idx).usage()));
    }
    if (is_mnist(split, labels)) {
      throw FormatError(
          fmt::format("{}: the labels of MNIST, not of {}", labels_path.string(), family.title),
          fmt::format("{}{} opens MNIST", data_source(idx).completion(), labels_path.parent_path().string()));
    }
    classes.assign(labels.begin(), labels.end());
  }
  const Preprocessing preprocessing = preprocessing_of(options, images.channels);
  const Shape example = preprocessed_shape(preprocessing, images.height, images.width);
  return {std::make_shared<ByteImages>(images.height, images.width, images.channels, std::move(images.pixels),
                                       std::move(classes)),
          std::move(family.name),
          std::move(family.classes),
          preprocessing,
          example,
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
               "sudo apt-get install dataset-fashion-mnist, or give the four files in DatasetOptions::dir",
               "fashion"},
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

#include "data/sources.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <vector>

#include "base/files.h"
#include "base/nearest.h"
#include "resnet/folder.h"

namespace resnet::data {
namespace {

constexpr auto kSources = std::to_array<DataSource>({
    {"fashion-mnist", false, "Fashion-MNIST", "70,000 gray images of 28x28, 10 classes", fashion_mnist},
    {"cifar10", false, "CIFAR-10", "60,000 RGB images of 32x32, 10 classes, binary version", cifar10},
    {"cifar100", false, "CIFAR-100", "60,000 RGB images of 32x32, 100 classes, binary version", cifar100},
    {"idx", true, "an IDX data set",
     "images in a folder with MNIST's four files, gray or in colour, also with .gz", idx},
    {"folder", true, "a folder of pictures", "JPEG, PNG, WebP, BMP, PPM in a sub-folder for each class",
     folder},
});

// "did you mean fashion-mnist? ": the name before a colon, one that is nearly it, or else one that ends with
// it.
std::string nearest_to(const std::string& text) {
  const std::string mistyped = text.substr(0, text.find(':'));
  std::vector<std::string> names;
  for (const DataSource& source : kSources) names.emplace_back(source.name);
  std::string near = std::ranges::find(names, mistyped) != names.end() ? mistyped : nearest(mistyped, names);
  for (const std::string& name : names) {
    if (near.empty() && !mistyped.empty() && name.ends_with("-" + mistyped)) near = name;
  }
  const auto source = std::ranges::find(kSources, near, &DataSource::name);
  return source == kSources.end() ? "" : "did you mean " + source->usage() + "? ";
}

}  // namespace

std::string DataSource::usage() const {
  return std::string(name) + (folder ? ":DIR" : "");
}

std::string DataSource::completion() const {
  return std::string(name) + (folder ? ":" : "");
}

std::span<const DataSource> data_sources() noexcept {
  return kSources;
}

const DataSource& data_source(Dataset (*open)(Split, const DatasetOptions&)) {
  const auto found = std::find_if(kSources.begin(), kSources.end(),
                                  [&](const DataSource& source) { return source.open == open; });
  if (found == kSources.end()) throw Error("a data set that is not in the table of src/data/sources.cpp");
  return *found;
}

std::string data_source_usages() {
  std::string text;
  for (const DataSource& source : kSources) {
    if (!text.empty()) text += &source == &kSources.back() ? " or " : ", ";
    text += source.usage();
  }
  return text;
}

namespace {

// A line of the table, and the folder that a text gives it.
std::pair<const DataSource*, std::filesystem::path> meant(const std::string& text) {
  for (const DataSource& source : kSources) {
    if (!source.folder) {
      if (text == source.name) return {&source, {}};
      continue;
    }
    const std::string prefix = source.completion();
    if (text.starts_with(prefix) && text.size() > prefix.size()) return {&source, text.substr(prefix.size())};
  }
  if (!text.empty() && is_folder(text)) return {&data_source(folder), text};
  if (text.find('/') != std::string::npos && text.find(':') == std::string::npos) {
    throw IoError("there is no folder '" + text + "'", "give a folder with a sub-folder for each class");
  }
  throw ConfigError("there is no data set '" + text + "'", nearest_to(text) + "give " + data_source_usages());
}

DatasetOptions in_folder(const DatasetOptions& options, const std::filesystem::path& dir) {
  DatasetOptions result = options;
  if (dir.empty()) return result;
  if (!options.dir.empty()) {
    throw ConfigError(
        "DatasetOptions::dir is " + options.dir.string() + " beside a data set in " + dir.string(),
        "the folder stands behind the data set's name: give one of both");
  }
  result.dir = dir;
  return result;
}

}  // namespace

std::string full_name(const std::string& text) {
  const auto [source, dir] = meant(text);
  return dir.empty() ? text : source->completion() + dir.string();
}

bool is_folder_of_pictures(std::string_view full_name) {
  return full_name.starts_with("folder:");
}

Dataset open(const std::string& text, Split split, const DatasetOptions& options) {
  const auto [source, dir] = meant(text);
  return source->open(split, in_folder(options, dir));
}

TrainTest open(const std::string& text, const DatasetOptions& options) {
  const auto [source, dir] = meant(text);
  const DatasetOptions chosen = in_folder(options, dir);
  if (source == &data_source(folder)) return folder(chosen.dir, chosen);
  return {source->open(Split::train, chosen), source->open(Split::test, chosen)};
}

}  // namespace resnet::data

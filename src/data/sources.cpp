#include "data/sources.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>
#include <vector>

#include "base/nearest.h"

namespace resnet::data {
namespace {

constexpr auto kSources = std::to_array<DataSource>({
    {"fashion-mnist", false, "Fashion-MNIST", "70,000 gray images of 28x28, 10 classes", fashion_mnist},
    {"cifar10", false, "CIFAR-10", "60,000 RGB images of 32x32, 10 classes, binary version", cifar10},
    {"cifar100", false, "CIFAR-100", "60,000 RGB images of 32x32, 100 classes, binary version", cifar100},
    {"idx", true, "an IDX data set", "gray images in a folder with MNIST's four files, also with .gz", idx},
});

// "did you mean fashion-mnist? ": the name before a colon, one that is nearly it, or else one that ends with
// it.
std::string meant(const std::string& text) {
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

Dataset open(const std::string& text, Split split, const DatasetOptions& options) {
  for (const DataSource& source : kSources) {
    if (!source.folder) {
      if (text == source.name) return source.open(split, options);
      continue;
    }
    const std::string prefix = source.completion();
    if (!text.starts_with(prefix) || text.size() == prefix.size()) continue;
    DatasetOptions with_dir = options;
    with_dir.dir = text.substr(prefix.size());
    return source.open(split, with_dir);
  }
  std::error_code ignored;
  if (!text.empty() && std::filesystem::is_directory(text, ignored)) {
    std::string kinds;
    for (const DataSource& source : kSources) {
      if (source.folder) kinds += (kinds.empty() ? "" : " or ") + source.completion() + text;
    }
    throw ConfigError("'" + text + "' is a folder, and not the name of a data set",
                      "say what it holds: " + kinds);
  }
  throw ConfigError("there is no data set '" + text + "'", meant(text) + "give " + data_source_usages());
}

}  // namespace resnet::data

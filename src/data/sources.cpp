#include "data/sources.h"

#include <algorithm>
#include <array>

namespace resnet::data {
namespace {

constexpr auto kSources = std::to_array<DataSource>({
    {"fashion-mnist", false, "Fashion-MNIST", "70,000 gray images of 28x28, 10 classes", fashion_mnist},
    {"cifar10", false, "CIFAR-10", "60,000 RGB images of 32x32, 10 classes, binary version", cifar10},
    {"cifar100", false, "CIFAR-100", "60,000 RGB images of 32x32, 100 classes, binary version", cifar100},
    {"idx", true, "an IDX data set", "gray images in a folder with MNIST's four files, also with .gz", idx},
});

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
  throw ConfigError("there is no data set '" + text + "'", "give " + data_source_usages());
}

}  // namespace resnet::data

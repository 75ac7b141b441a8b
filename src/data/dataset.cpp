#include <algorithm>
#include <cstdlib>
#include <initializer_list>

#include "base/sha256.h"
#include "data/folder.h"
#include "resnet/data.h"

namespace resnet::data {

Dataset::Dataset(std::shared_ptr<const Source> source, std::string name, std::vector<std::string> classes,
                 Preprocessing preprocessing, Shape example, std::int64_t limit)
    : source_(std::move(source)),
      name_(std::move(name)),
      classes_(std::move(classes)),
      preprocessing_(preprocessing),
      example_(example),
      size_(source_ == nullptr ? 0
            : limit > 0        ? std::min(limit, source_->size())
                               : source_->size()) {
  if (source_ == nullptr) throw Error(name_ + ": a data set without a source", "give a Source, not null");
  if (limit < 0) {
    throw ConfigError(name_ + ": a limit of " + std::to_string(limit) + " examples",
                      "give at least 1, or 0 for all");
  }
}

Image Dataset::image(std::int64_t i) const {
  if (i < 0 || i >= size_) {
    throw Error(name_ + ": there is no image " + std::to_string(i) + " of " + std::to_string(size_));
  }
  Image result;
  source_->image(i, result);
  return result;
}

// Measured on one core of an Emerald Rapids: the 60,000 images of Fashion-MNIST in 0.19 s, 254 MB/s.
std::string content_sha256(const Dataset::Source& source, std::int64_t count) {
  Sha256 hash;
  const auto add = [&hash](std::initializer_list<std::int64_t> numbers) {
    std::vector<std::byte> bytes;  // 64 bits each, the low ones first
    for (const std::int64_t number : numbers) {
      for (int shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<std::byte>(number >> shift));
    }
    hash.update(bytes);
  };
  Image image;
  for (std::int64_t i = 0; i < std::min(count, source.size()); ++i) {
    source.image(i, image);
    add({image.height, image.width, image.channels, source.label(i)});
    hash.update(std::as_bytes(std::span(image.pixels)));
  }
  return hash.hex();
}

ImageView Batch::view() const {
  const View<const float> elements = images.view<float>();
  return layout == ImageLayout::nchw ? ImageView(elements) : ImageView::nhwc(elements);
}

std::filesystem::path folder_of_environment() {
  const char* variable = std::getenv("RESNET_DATA_DIR");
  return variable == nullptr ? "" : variable;
}

std::filesystem::path data_folder(const DatasetOptions& options, std::string_view title,
                                  const std::filesystem::path& otherwise) {
  if (!options.dir.empty()) return options.dir;
  if (std::filesystem::path folder = folder_of_environment(); !folder.empty()) return folder;
  if (otherwise.empty()) {
    throw IoError("the folder with the files of " + std::string(title) + " is not known",
                  "give it as DatasetOptions::dir, or set RESNET_DATA_DIR");
  }
  return otherwise;
}

std::vector<std::string> numbered_classes(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t k = 0; k < count; ++k) names.push_back(std::to_string(k));
  return names;
}

}  // namespace resnet::data

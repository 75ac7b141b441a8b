#include <algorithm>
#include <cstdlib>

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
      size_(limit > 0 ? std::min(limit, source_->size()) : source_->size()) {
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

ImageView Batch::view() const {
  const View<const float> elements = images.view<float>();
  return layout == ImageLayout::nchw ? ImageView(elements) : ImageView::nhwc(elements);
}

std::filesystem::path data_folder(const DatasetOptions& options, std::string_view title,
                                  const std::filesystem::path& otherwise) {
  if (!options.dir.empty()) return options.dir;
  if (const char* variable = std::getenv("RESNET_DATA_DIR"); variable != nullptr && *variable != '\0')
    return variable;
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

#include "data/survey.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>

namespace resnet::data {
namespace {

Survey::Range range_of(std::vector<std::int64_t>& values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[values.size() / 2], values.back()};
}

}  // namespace

Survey survey(const TrainTest& data) {
  struct Found {
    std::set<std::int32_t> classes;
    bool trained = false;
  };
  Survey result;
  result.train = data.train.size();
  result.test = data.test.size();
  for (const std::string& name : data.train.classes()) result.classes.push_back({name});
  std::unordered_map<std::string, Found> found;
  std::vector<std::int64_t> heights;
  std::vector<std::int64_t> widths;
  Image image;
  const auto see = [&](const Dataset& set, bool train) {
    for (std::int64_t i = 0; i < set.size(); ++i) {
      auto facts = set.source().facts(i);
      if (!facts) {
        set.source().image(i, image);
        facts = {image.height, image.width, picture_sha256(image)};
      }
      const std::int32_t label = set.label(i);
      Survey::Class& of = result.classes[static_cast<std::size_t>(label)];
      ++(train ? of.train : of.test);
      heights.push_back(facts->height);
      widths.push_back(facts->width);
      Found& seen = found[facts->digest];
      result.duplicates += seen.classes.empty() ? 0 : 1;
      result.overlaps += !train && seen.trained ? 1 : 0;
      seen.classes.insert(label);
      seen.trained = seen.trained || train;
    }
  };
  see(data.train, true);
  see(data.test, false);
  for (const auto& [digest, seen] : found) result.in_classes += seen.classes.size() > 1 ? 1 : 0;
  result.height = range_of(heights);
  result.width = range_of(widths);
  return result;
}

Image contact_sheet(const Dataset& dataset, std::int64_t columns) {
  constexpr std::int64_t kGap = 2;               // pixels between pictures
  constexpr std::int64_t kMostPixels = 1 << 24;  // of the sheet
  constexpr std::uint8_t kGround = 255;
  const Shape& example = dataset.example_shape();
  const std::int64_t height = example[1] + kGap;
  const std::int64_t width = example[2] + kGap;
  columns = std::clamp<std::int64_t>(kMostPixels / (height * width), 1, columns);
  const std::int64_t most = std::max<std::int64_t>(1, kMostPixels / (height * width * columns));
  const auto rows = std::min(most, static_cast<std::int64_t>(dataset.classes().size()));
  std::vector<std::int64_t> indices;
  std::vector<std::int64_t> places;  // on the sheet, from left to right and down
  std::vector<std::int64_t> filled(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const std::int64_t row = dataset.label(i);
    if (row >= rows || filled[static_cast<std::size_t>(row)] == columns) continue;
    indices.push_back(i);
    places.push_back(row * columns + filled[static_cast<std::size_t>(row)]++);
  }
  Image sheet{rows * height + kGap, columns * width + kGap, example[0], {}};
  sheet.pixels.assign(static_cast<std::size_t>(sheet.height * sheet.width * sheet.channels), kGround);
  Loader loader(dataset, {.batch_size = 1, .layout = ImageLayout::nhwc});
  loader.start(std::move(indices));
  for (const std::int64_t place : places) {
    const float* values = loader.next()->images.values().data();
    const std::int64_t top = place / columns * height + kGap;
    const std::int64_t left = place % columns * width + kGap;
    const std::int64_t row = example[2] * example[0];
    for (std::int64_t y = 0; y < example[1]; ++y) {
      std::uint8_t* out = sheet.pixels.data() + ((top + y) * sheet.width + left) * sheet.channels;
      for (std::int64_t k = 0; k < row; ++k) {
        out[k] = static_cast<std::uint8_t>(std::lround(std::clamp(*values++, 0.0F, 1.0F) * 255.0F));
      }
    }
  }
  return sheet;
}

}  // namespace resnet::data

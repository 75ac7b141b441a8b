#include "data/contact_sheet.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "base/machine.h"
#include "images/resample.h"
#include "images/text.h"

namespace resnet::data {
namespace {

constexpr std::int64_t kEpochs = 3;  // that an augmentation is shown of

std::string label_of(const Dataset& dataset, std::int64_t k) {
  const std::string& name = dataset.classes()[static_cast<std::size_t>(k)];
  const bool ascii = std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
  return ascii ? name : "class " + std::to_string(k);
}

// Where the cells of a sheet are: each example of a class has `versions` of them, or as many as fit into a row.
class Layout {
 public:
  Layout(const Dataset& dataset, std::int64_t columns, std::int64_t versions)
      : height_(dataset.example_shape()[1]),
        width_(dataset.example_shape()[2]),
        scale_(height_ >= kLarge ? 2 : 1) {
    constexpr std::int64_t kMostArea = 1 << 24;
    versions_ = std::clamp<std::int64_t>((images::kMostPixels - kGap) / (width_ + kGap), 1, versions);
    const std::int64_t example = versions_ * (width_ + kGap) + kSpace;
    const std::int64_t most_examples =
        std::min(kMostArea / (row() * example), (images::kMostPixels - kGap + kSpace) / example);
    examples_ = std::clamp<std::int64_t>(most_examples, 1, std::max<std::int64_t>(1, columns / versions_));
    const std::int64_t most_rows =
        std::min(kMostArea / (row() * examples_ * example), (images::kMostPixels - kGap) / row());
    rows_ = std::clamp<std::int64_t>(most_rows, 1, std::ssize(dataset.classes()));
  }

  std::int64_t versions() const { return versions_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t examples() const { return examples_; }  // of a row
  std::int64_t sheet_height() const { return rows_ * row() + kGap; }
  std::int64_t sheet_width() const { return left(examples_, 0) - kSpace; }
  std::int64_t scale() const { return scale_; }  // of text
  std::int64_t text_top(std::int64_t row_number) const { return row_number * row() + kGap; }
  std::int64_t top(std::int64_t row_number) const {
    return text_top(row_number) + images::kTextHeight * scale_;
  }
  std::int64_t left(std::int64_t example, std::int64_t version) const {
    return kGap + example * (versions_ * (width_ + kGap) + kSpace) + version * (width_ + kGap);
  }

 private:
  static constexpr std::int64_t kGap = 2;      // pixels around each picture
  static constexpr std::int64_t kSpace = 4;    // more of them between examples
  static constexpr std::int64_t kLarge = 128;  // pictures that ask for larger text

  std::int64_t row() const { return images::kTextHeight * scale_ + height_ + 2 * kGap; }

  std::int64_t height_, width_, scale_, versions_ = 1, examples_ = 1, rows_ = 1;
};

// One example of the sheet.
struct Place {
  std::int64_t row = 0, example = 0;
};

// The examples of a batch, from `first` on, with the normalisation undone.
void put(Image& sheet, const Layout& layout, const Batch& batch, std::span<const Place> places,
         std::int64_t version, const Normalization& normalization) {
  const Shape& shape = batch.images.shape();  // [N,H,W,C]
  const float* from = batch.images.values().data();
  const auto undone = [&](float value, std::int64_t channel) {
    if (normalization.mean.empty()) return static_cast<double>(value);
    const auto at = static_cast<std::size_t>(normalization.mean.size() > 1 ? channel : 0);
    return static_cast<double>(value) * normalization.std[at] + normalization.mean[at];
  };
  for (const Place& place : places) {
    for (std::int64_t y = 0; y < shape[1]; ++y) {
      std::uint8_t* out =
          sheet.pixels.data() +
          ((layout.top(place.row) + y) * sheet.width + layout.left(place.example, version)) * sheet.channels;
      for (std::int64_t x = 0; x < shape[2]; ++x) {
        for (std::int64_t c = 0; c < shape[3]; ++c) {
          *out++ = static_cast<std::uint8_t>(std::lround(std::clamp(undone(*from++, c), 0.0, 1.0) * 255));
        }
      }
    }
  }
}

}  // namespace

Image contact_sheet(const Dataset& dataset, const SheetOptions& options) {
  const Layout layout(dataset, options.columns, options.augment.empty() ? 1 : 1 + kEpochs);
  std::vector<std::int64_t> indices;
  std::vector<Place> places;
  std::vector<std::int64_t> filled(static_cast<std::size_t>(layout.rows()));  // examples of a row
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const std::int64_t row = dataset.label(i);
    if (row >= layout.rows() || filled[static_cast<std::size_t>(row)] == layout.examples()) continue;
    indices.push_back(i);
    places.push_back({row, filled[static_cast<std::size_t>(row)]++});
  }
  constexpr std::uint8_t kGround = 255;
  Image sheet{layout.sheet_height(), layout.sheet_width(), dataset.example_shape()[0], {}};
  sheet.pixels.assign(static_cast<std::size_t>(sheet.height * sheet.width * sheet.channels), kGround);
  for (std::int64_t row = 0; row < layout.rows(); ++row) {
    images::draw_text(sheet, layout.text_top(row), layout.left(0, 0), label_of(dataset, row), layout.scale());
  }
  constexpr std::int64_t kBatch = 8;  // there is work for all threads in some hundred pictures
  const auto show = [&](Loader loader, std::int64_t version) {
    loader.start(indices, std::max<std::int64_t>(0, version - 1));
    std::span<const Place> left = places;
    while (const Batch* batch = loader.next()) {
      const auto count = static_cast<std::size_t>(batch->size());
      put(sheet, layout, *batch, left.first(count), version, dataset.preprocessing().normalization);
      left = left.subspan(count);
    }
  };
  LoaderOptions loading{
      .batch_size = kBatch, .threads = default_threads(), .layout = ImageLayout::nhwc, .seed = options.seed};
  show(Loader(dataset, loading), 0);
  loading.augment = options.augment;
  for (std::int64_t version = 1; version < layout.versions(); ++version)
    show(Loader(dataset, loading), version);
  return sheet;
}

}  // namespace resnet::data

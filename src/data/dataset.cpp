#include <algorithm>
#include <initializer_list>
#include <mutex>

#include "base/places.h"
#include "base/sha256.h"
#include "base/text.h"
#include "resnet/data.h"

namespace resnet::data {

struct Dataset::Content {
  std::once_flag known;
  std::string sha256;
};

Dataset::Dataset(std::shared_ptr<const Source> source, std::string name, std::vector<std::string> classes,
                 Preprocessing preprocessing, Shape example, std::int64_t limit)
    : source_(std::move(source)),
      content_(std::make_shared<Content>()),
      name_(std::move(name)),
      classes_(std::move(classes)),
      preprocessing_(std::move(preprocessing)),
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

std::int32_t Dataset::label(std::int64_t i) const {
  if (i < 0 || i >= size_)
    throw Error(name_ + ": there is no label " + std::to_string(i) + " of " + std::to_string(size_));
  const std::int32_t label = source_->label(i);
  if (label >= 0 && static_cast<std::size_t>(label) < classes_.size()) return label;
  throw FormatError(name_ + ": example " + std::to_string(i) + " has label " + std::to_string(label) +
                    ", and there are " + std::to_string(classes_.size()) + " classes");
}

Image Dataset::image(std::int64_t i) const {
  if (i < 0 || i >= size_) {
    throw Error(name_ + ": there is no image " + std::to_string(i) + " of " + std::to_string(size_));
  }
  Image result;
  source_->image(i, result);
  return result;
}

Dataset Dataset::first(std::int64_t limit) const {
  Dataset result(source_, name_, classes_, preprocessing_, example_,
                 limit > 0   ? std::min(limit, size_)
                 : limit < 0 ? limit
                             : size_);
  result.cache_ = cache_;
  return result;
}

namespace {

// A source whose labels are those of other classes.
class Relabelled final : public Dataset::Source {
 public:
  Relabelled(std::shared_ptr<const Source> source, std::vector<std::int32_t> labels)
      : source_(std::move(source)), labels_(std::move(labels)) {}
  std::int64_t size() const override { return source_->size(); }
  std::int32_t label(std::int64_t i) const override {
    const auto label = static_cast<std::size_t>(source_->label(i));
    return label < labels_.size() ? labels_[label] : -1;  // which Dataset::label() refuses
  }
  void image(std::int64_t i, Image& out) const override { source_->image(i, out); }
  std::optional<Facts> facts(std::int64_t i) const override { return source_->facts(i); }
  std::optional<Counts> counts() const override { return source_->counts(); }
  std::string name(std::int64_t i) const override { return source_->name(i); }
  bool in_memory() const override { return source_->in_memory(); }

 private:
  std::shared_ptr<const Source> source_;
  std::vector<std::int32_t> labels_;  // by label of the source
};

class ContentHash {
 public:
  // 64 bits each, the low ones first.
  void add(std::initializer_list<std::int64_t> numbers) {
    std::vector<std::byte> bytes;
    for (const std::int64_t number : numbers) {
      for (int shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<std::byte>(number >> shift));
    }
    hash_.update(bytes);
  }
  void add(const Image& image) { hash_.update(std::as_bytes(std::span(image.pixels))); }
  void add(const std::string& text) { hash_.update(std::as_bytes(std::span(text))); }
  std::string hex() const { return hash_.hex(); }

 private:
  Sha256 hash_;
};

}  // namespace

Dataset Dataset::with_classes(const std::vector<std::string>& classes) const {
  if (classes == classes_) return *this;
  const Places known(classes);
  std::vector<std::int32_t> labels;
  for (const std::string& name : classes_) {
    const std::optional<std::size_t> place = known.of(name);
    if (!place) {
      throw FormatError(name_ + ": its class '" + shown(name, 60) + "' is not one of the " +
                            std::to_string(classes.size()) + " that are known",
                        "classes are found by their names");
    }
    labels.push_back(static_cast<std::int32_t>(*place));
  }
  Dataset result = *this;
  result.source_ = std::make_shared<Relabelled>(source_, std::move(labels));
  result.content_ = std::make_shared<Content>();  // labels are part of it
  result.classes_ = classes;
  return result;
}

std::string picture_sha256(const Image& image) {
  ContentHash hash;
  hash.add({image.height, image.width, image.channels});
  hash.add(image);
  return hash.hex();
}

// Measured on one core of an Emerald Rapids: the 60,000 images of Fashion-MNIST in 0.19 s, 254 MB/s.
std::string content_sha256(const Dataset::Source& source, std::int64_t count) {
  ContentHash hash;
  Image image;
  for (std::int64_t i = 0; i < std::min(count, source.size()); ++i) {
    if (const auto facts = source.facts(i)) {
      hash.add(facts->digest);
      hash.add({source.label(i)});
      continue;
    }
    source.image(i, image);
    hash.add({image.height, image.width, image.channels, source.label(i)});
    hash.add(image);
  }
  return hash.hex();
}

const std::string& Dataset::content_sha256() const {
  std::call_once(content_->known, [this] { content_->sha256 = data::content_sha256(*source_, size_); });
  return content_->sha256;
}

ImageView Batch::view() const {
  const View<const float> elements = images.view<float>();
  return layout == ImageLayout::nchw ? ImageView(elements) : ImageView::nhwc(elements);
}

}  // namespace resnet::data

#include "data/preprocess.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>

#include "base/joined.h"
#include "base/json.h"
#include "images/adjust.h"
#include "images/geometry.h"

namespace resnet::data {
namespace {

// Of Pillow up to 12, see images::resize(); in the order of images::Filter.
constexpr std::array<const char*, 2> kInterpolations = {"pil_bilinear", "pil_bicubic"};
constexpr const char* kScale = "divide_by_255";
constexpr const char* kDraft = "draft";
// What a resize may ask for, in pixels: networks see 600x600 at most (EfficientNet-B7), and a model file of
// some bytes must not ask for gigabytes.
constexpr std::int64_t kMostResize = 1 << 20;    // of a size that is given, or the shorter side's square
constexpr std::int64_t kMostResized = 1 << 22;   // of a result whose longer side follows the picture
constexpr std::size_t kMostResamplers = 256;     // that are kept, of some KB each
constexpr std::int64_t kMostChannels = 1 << 20;  // of what a network takes

// torchvision's rule for one number: the shorter side becomes it, the longer keeps the proportion,
// truncated.
std::pair<std::int64_t, std::int64_t> target(const Resize& resize, std::int64_t height, std::int64_t width) {
  if (resize.height == 0) return {height, width};
  if (resize.width != 0) return {resize.height, resize.width};
  if (height <= width) return {resize.height, width * resize.height / height};
  return {height * resize.height / width, resize.height};
}

bool too_large(const Resize& resize) {
  return resize.height * (resize.width == 0 ? resize.height : resize.width) > kMostResize;
}

bool too_large(const Crop& crop) {
  return crop.height > kMostResize || crop.width > kMostResize || crop.height * crop.width > kMostResize;
}

// What is wrong with a normalisation of `channels` channels; "" if nothing is.
std::string fault_of(const Normalization& n, std::int64_t channels) {
  if (n.mean.size() != n.std.size()) return "has as many means as deviations";
  const auto count = static_cast<std::int64_t>(n.mean.size());
  if (count > 1 && count != channels)
    return "has one number, or one for each of " + std::to_string(channels) + " channels";
  // Of f32: a deviation that vanishes there would divide by zero.
  const auto finite = [](double x) { return std::isfinite(static_cast<float>(x)); };
  const auto positive = [&](double x) { return finite(x) && static_cast<float>(x) > 0; };
  if (!std::ranges::all_of(n.mean, finite)) return "has finite means";
  if (!std::ranges::all_of(n.std, positive)) return "has finite deviations above 0";
  return "";
}

void check(const Normalization& normalization, std::int64_t channels) {
  const std::string fault = fault_of(normalization, channels);
  if (!fault.empty()) throw ConfigError("DatasetOptions::normalization: a normalisation " + fault);
}

}  // namespace

bool Preprocessing::operator==(const Preprocessing& other) const {
  return resize.height == other.resize.height && resize.width == other.resize.width &&
         channels == other.channels && filter == other.filter && crop == other.crop &&
         normalization == other.normalization && jpeg_draft == other.jpeg_draft;
}

std::string to_json(const Preprocessing& preprocessing) {
  const std::array sides = {preprocessing.resize.height, preprocessing.resize.width};
  Json result =
      Json::object({{"resize", Json::list(sides)},
                    {"interpolation", kInterpolations.at(static_cast<std::size_t>(preprocessing.filter))},
                    {"channels", preprocessing.channels},
                    {"scale", kScale}});
  const auto& [crop, normalization] = std::tie(preprocessing.crop, preprocessing.normalization);
  if (crop.height != 0) result.add("crop", Json::list(std::array{crop.height, crop.width}));
  if (preprocessing.jpeg_draft) result.add("jpeg", kDraft);
  if (!normalization.mean.empty()) {
    result.add("mean", normalization.mean);
    result.add("std", normalization.std);
  }
  return result.dump();
}

Preprocessing preprocessing_from_json(const std::string& text) {
  const auto refuse = [](const std::string& what) {
    throw FormatError("preprocessing: " + what, "the file was not written by this program, or is damaged");
  };
  const Json object = parse_json(text, {.bytes = 4096});
  if (!object.is_object()) refuse("an object was expected, not " + object.dump());
  constexpr std::array<const char*, 4> kKeys = {"resize", "interpolation", "channels", "scale"};
  for (const char* key : kKeys) {
    if (object.find(key) == nullptr) refuse(std::string("'") + key + "' is missing");
  }
  constexpr std::array<const char*, 4> kMoreKeys = {"crop", "mean", "std", "jpeg"};  // may be missing
  for (const auto& [key, value] : object.members()) {
    const auto known = [&key = key](const auto& keys) {
      return std::find(keys.begin(), keys.end(), key) != keys.end();
    };
    if (!known(kKeys) && !known(kMoreKeys)) refuse("unknown key '" + key + "'");
  }
  const auto number = [&](const char* key, const Json& value, std::int64_t least,
                          std::int64_t most) -> std::int64_t {
    const std::int64_t result = value.is_whole() ? value.whole() : least - 1;
    if (result < least || result > most) {
      refuse(std::string("'") + key + "' is " + value.dump() + ", a whole number from " +
             std::to_string(least) + " to " + std::to_string(most) + " was expected");
    }
    return result;
  };
  const auto choice = [&](const char* key, std::span<const char* const> values) {
    const Json& found = *object.find(key);
    const auto at =
        std::ranges::find_if(values, [&](const char* v) { return found.is_text() && found.text() == v; });
    if (at == values.end()) {
      refuse(std::string("'") + key + "' is " + found.dump() + ", only '" + joined(values, "' and '") +
             "' is known");
    }
    return static_cast<std::size_t>(at - values.begin());
  };
  choice("scale", std::array{kScale});
  const Json& resize = *object.find("resize");
  if (!resize.is_list() || resize.size() != 2)
    refuse("'resize' is " + resize.dump() + ", two numbers were expected");
  Preprocessing result;
  result.resize = {number("resize", resize[0], 0, images::kMostPixels),
                   number("resize", resize[1], 0, images::kMostPixels)};
  if (result.resize.height == 0 && result.resize.width != 0) refuse("'resize' has a width without a height");
  if (too_large(result.resize)) {
    refuse("a resize to " + resize.dump() + ", more than " + std::to_string(kMostResize) + " pixels");
  }
  result.channels = number("channels", *object.find("channels"), 1, kMostChannels);
  result.filter = static_cast<images::Filter>(choice("interpolation", kInterpolations));
  if (object.find("jpeg") != nullptr) {
    choice("jpeg", std::array{kDraft});
    result.jpeg_draft = true;
  }
  if (const Json* crop = object.find("crop")) {
    if (!crop->is_list() || crop->size() != 2)
      refuse("'crop' is " + crop->dump() + ", two numbers were expected");
    result.crop = {number("crop", (*crop)[0], 1, kMostResize), number("crop", (*crop)[1], 1, kMostResize)};
    if (too_large(result.crop))
      refuse("a crop of " + crop->dump() + ", more than " + std::to_string(kMostResize) + " pixels");
  }
  for (const auto& [key, member] : {std::pair("mean", &Normalization::mean), {"std", &Normalization::std}}) {
    const Json* list = object.find(key);
    if (list == nullptr) continue;
    if (!list->is_list() || list->size() == 0)
      refuse(std::string("'") + key + "' is " + list->dump() + ", numbers were expected");
    for (const Json& value : list->elements()) {
      if (!value.is_whole() && !value.is_float()) refuse(std::string("'") + key + "' has " + value.dump());
      (result.normalization.*member).push_back(value.number());
    }
  }
  if (const std::string fault = fault_of(result.normalization, result.channels); !fault.empty()) {
    refuse("a normalisation " + fault);
  }
  return result;
}

Shape preprocessed_shape(const Preprocessing& preprocessing, std::int64_t height, std::int64_t width) {
  const auto check_sides = [](const char* what, std::int64_t h, std::int64_t w) {
    if (h >= 1 && w >= 1 && h <= images::kMostPixels && w <= images::kMostPixels) return;
    throw ShapeError("an image of " + std::to_string(h) + "x" + std::to_string(w) + " pixels " + what,
                     "sides of 1 to 65535 pixels are supported");
  };
  check_sides("is given", height, width);
  const Resize& resize = preprocessing.resize;
  if (too_large(resize)) {
    throw ShapeError("DatasetOptions::resize asks for more than " + std::to_string(kMostResize) + " pixels",
                     "give at most 1024, or 1024x1024");
  }
  const auto [h, w] = target(resize, height, width);
  check_sides("would come of the resize", h, w);
  if (resize.height != 0 && h * w > kMostResized) {
    throw ShapeError("an image of " + std::to_string(height) + "x" + std::to_string(width) +
                         " pixels would become one of " + std::to_string(h) + "x" + std::to_string(w),
                     "at most " + std::to_string(kMostResized) + " pixels are supported behind a resize");
  }
  check(preprocessing.normalization, preprocessing.channels);
  const Crop& crop = preprocessing.crop;
  if (crop.height == 0 && crop.width == 0) return {preprocessing.channels, h, w};
  if (crop.height < 1 || crop.width < 1 || too_large(crop)) {
    throw ShapeError(
        "DatasetOptions::crop is " + std::to_string(crop.height) + "x" + std::to_string(crop.width),
        "give at most " + std::to_string(kMostResize) + " pixels, e.g. 224x224");
  }
  return {preprocessing.channels, crop.height, crop.width};
}

Preprocessing preprocessing_of(const DatasetOptions& options, std::int64_t channels) {
  return {options.resize, channels, options.filter, options.crop, options.normalization, options.jpeg_draft};
}

std::optional<Shape> fixed_shape(const Preprocessing& preprocessing) {
  const auto& [crop, resize] = std::tie(preprocessing.crop, preprocessing.resize);
  if (crop.height == 0 && (resize.height == 0 || resize.width == 0)) return std::nullopt;
  return preprocessed_shape(preprocessing, 1, 1);
}

images::Draft draft_of(const Preprocessing& preprocessing) {
  const Resize& resize = preprocessing.resize;
  if (!preprocessing.jpeg_draft || resize.height == 0) return {};
  return {resize.height, resize.width == 0 ? resize.height : resize.width};
}

std::pair<std::int64_t, std::int64_t> resized_size(const Preprocessing& preprocessing, std::int64_t height,
                                                   std::int64_t width) {
  return target(preprocessing.resize, height, width);
}

Preprocessor::Preprocessor(Preprocessing preprocessing) : preprocessing_(std::move(preprocessing)) {
  const Normalization& n = preprocessing_.normalization;
  check(n, preprocessing_.channels);
  for (std::size_t c = 0; c < values_.size(); ++c) {
    const std::size_t at = n.mean.size() > c ? c : 0;
    for (std::size_t byte = 0; byte < values_[c].size(); ++byte) {
      const float scaled = static_cast<float>(byte) / 255.0F;
      values_[c][byte] =
          n.mean.empty() ? scaled : (scaled - static_cast<float>(n.mean[at])) / static_cast<float>(n.std[at]);
    }
  }
}

// Before the resize, as PIL's convert() before Resize.
const Image& Preprocessor::converted(const Image& image) {
  images::check_image(image);
  const std::int64_t channels = preprocessing_.channels;
  if (channels != 1 && channels != 3) {
    throw ShapeError("pictures are gray or RGB, the network takes " + std::to_string(channels) + " channels",
                     "give its input to infer()");
  }
  if (image.channels == channels) return image;
  const std::int64_t area = image.height * image.width;
  converted_.height = image.height;
  converted_.width = image.width;
  converted_.channels = channels;
  converted_.pixels.resize(static_cast<std::size_t>(area * channels));
  const std::uint8_t* pixels = image.pixels.data();
  for (std::int64_t i = 0; i < area; ++i) {
    for (std::int64_t c = 0; c < channels; ++c) {
      converted_.pixels[static_cast<std::size_t>(i * channels + c)] =
          channels == 1 ? images::luma(pixels + 3 * i) : pixels[i];
    }
  }
  return converted_;
}

void Preprocessor::resize(const images::Resampler& resampler, const Image& image, std::int64_t height,
                          std::int64_t width) {
  resized_.height = height;
  resized_.width = width;
  resized_.channels = image.channels;
  resized_.pixels.resize(static_cast<std::size_t>(height * width * image.channels));
  resampler.run(image.pixels.data(), resized_.pixels.data(), between_);
}

const Image& Preprocessor::resized(const Image& image) {
  const auto [height, width] = target(preprocessing_.resize, image.height, image.width);
  if (height == image.height && width == image.width) return image;
  const std::array<std::int64_t, 3> key = {image.height, image.width, image.channels};
  auto found = resamplers_.find(key);
  if (found == resamplers_.end()) {
    if (resamplers_.size() >= kMostResamplers) resamplers_.clear();  // pictures of all sizes
    found = resamplers_
                .emplace(key, images::Resampler(image.height, image.width, height, width, image.channels,
                                                false, preprocessing_.filter))
                .first;
  }
  resize(found->second, image, height, width);
  return resized_;
}

void Preprocessor::write(const Image& image, ImageLayout layout, std::span<float> out) const {
  if (image.pixels.size() != out.size()) {
    throw ShapeError("preprocessing gives " + to_string(Shape{image.channels, image.height, image.width}) +
                     ", not " + std::to_string(out.size()) + " values");
  }
  const auto channels = static_cast<std::size_t>(image.channels);
  float* to = out.data();
  if (layout == ImageLayout::nhwc) {
    for (std::size_t i = 0; i < image.pixels.size(); i += channels) {
      for (std::size_t c = 0; c < channels; ++c) *to++ = values_[c][image.pixels[i + c]];
    }
    return;
  }
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t i = c; i < image.pixels.size(); i += channels) *to++ = values_[c][image.pixels[i]];
  }
}

const Image& Preprocessor::changed(const Image& image) {
  const Image& picture = prepared(image);
  const Crop& crop = preprocessing_.crop;
  if (crop.height == 0) return picture;
  const images::Box box = images::center_box(picture.height, picture.width, crop.height, crop.width);
  images::crop(picture, box, images::Border::zero, cut_);
  return cut_;
}

const Image& Preprocessor::changed(const Image& image, const Augmenter& augmenter,
                                   Augmenter::Example example) {
  if (!augmenter.any()) return changed(image);
  const Image* picture = &converted(image);
  if (const auto box = augmenter.resized_crop(picture->height, picture->width, example)) {
    images::crop(*picture, *box, images::Border::zero, cut_);
    const std::int64_t height = augmenter.height(), width = augmenter.width();
    resize(images::Resampler(box->height, box->width, height, width, cut_.channels, false,
                             preprocessing_.filter),
           cut_, height, width);
    std::swap(cut_, resized_);
  } else {
    picture = &resized(*picture);
    const std::int64_t height = augmenter.height(), width = augmenter.width();
    const bool is_cut = preprocessing_.crop.height != 0;
    if (!is_cut && (picture->height != height || picture->width != width)) {
      const Shape has{picture->channels, picture->height, picture->width};
      throw ShapeError(
          "a picture is " + to_string(has) + ", not " + to_string(Shape{picture->channels, height, width}),
          "all have to be of one size, or resized to one");
    }
    if (!augmenter.padding_crop(*picture, cut_, example)) {
      images::crop(*picture, images::center_box(picture->height, picture->width, height, width),
                   images::Border::zero, cut_);
    }
  }
  augmenter.change(cut_, example);
  return cut_;
}

void Preprocessor::write(const Image& image, ImageLayout layout, std::span<float> out,
                         const Augmenter& augmenter, Augmenter::Example example) const {
  write(image, layout, out);
  augmenter.change(out, layout, example);
}

void preprocess(const Preprocessing& preprocessing, const Image& image, std::span<float> out,
                ImageLayout layout) {
  Preprocessor preprocessor(preprocessing);
  preprocessor.write(preprocessor.changed(image), layout, out);
}

}  // namespace resnet::data

#include "data/preprocess.h"

#include <algorithm>
#include <array>

#include "base/json.h"

namespace resnet::data {
namespace {

constexpr const char* kInterpolation = "pil_bilinear";  // of Pillow up to 12, see resize_bilinear()
constexpr const char* kScale = "divide_by_255";
// What a resize may ask for, in pixels: networks see 600x600 at most (EfficientNet-B7), and a model file of
// some bytes must not ask for gigabytes.
constexpr std::int64_t kMostResize = 1 << 20;    // of a size that is given, or the shorter side's square
constexpr std::int64_t kMostResized = 1 << 22;   // of a result whose longer side follows the picture
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

// PIL's luma: ITU-R 601-2 in 16-bit fixed point, rounded.
std::uint8_t luma(const std::uint8_t* rgb) {
  const std::uint32_t sum = 19595U * rgb[0] + 38470U * rgb[1] + 7471U * rgb[2] + 0x8000U;
  return static_cast<std::uint8_t>(sum >> 16U);
}

// Bytes / 255 of pixels [H][W][channels], in this layout.
void to_floats(std::span<const std::uint8_t> pixels, std::int64_t channels, ImageLayout layout, float* out) {
  const auto scaled = [](std::uint8_t byte) { return static_cast<float>(byte) / 255.0F; };
  if (layout == ImageLayout::nhwc || channels == 1) {
    std::transform(pixels.begin(), pixels.end(), out, scaled);
    return;
  }
  const auto stride = static_cast<std::size_t>(channels);
  for (std::size_t c = 0; c < stride; ++c) {
    for (std::size_t i = c; i < pixels.size(); i += stride) *out++ = scaled(pixels[i]);
  }
}

}  // namespace

bool Preprocessing::operator==(const Preprocessing& other) const {
  return resize.height == other.resize.height && resize.width == other.resize.width &&
         channels == other.channels;
}

std::string to_json(const Preprocessing& preprocessing) {
  const std::array sides = {preprocessing.resize.height, preprocessing.resize.width};
  return Json::object({{"resize", Json::list(sides)},
                       {"interpolation", kInterpolation},
                       {"channels", preprocessing.channels},
                       {"scale", kScale}})
      .dump();
}

Preprocessing preprocessing_from_json(const std::string& text) {
  const auto refuse = [](const std::string& what) {
    throw FormatError("preprocessing: " + what, "the file was not written by this program, or is damaged");
  };
  const Json object = parse_json(text, {.bytes = 1024});
  if (!object.is_object()) refuse("an object was expected, not " + object.dump());
  constexpr std::array<const char*, 4> kKeys = {"resize", "interpolation", "channels", "scale"};
  for (const char* key : kKeys) {
    if (object.find(key) == nullptr) refuse(std::string("'") + key + "' is missing");
  }
  for (const auto& [key, value] : object.members()) {
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) refuse("unknown key '" + key + "'");
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
  const auto constant = [&](const char* key, const char* value) {
    const Json& found = *object.find(key);
    if (!found.is_text() || found.text() != value) {
      refuse(std::string("'") + key + "' is " + found.dump() + ", only '" + value + "' is known");
    }
  };
  constant("interpolation", kInterpolation);
  constant("scale", kScale);
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
  return {preprocessing.channels, h, w};
}

void Preprocessor::run(const Image& image, ImageLayout layout, std::span<float> out) {
  images::check_image(image);
  const std::uint8_t* pixels = image.pixels.data();
  const std::int64_t area = image.height * image.width;
  const std::int64_t channels = preprocessing_.channels;
  const auto [height, width] = target(preprocessing_.resize, image.height, image.width);
  if (static_cast<std::int64_t>(out.size()) != channels * height * width) {
    throw ShapeError("preprocessing gives " + to_string(Shape{channels, height, width}) + ", not " +
                     std::to_string(out.size()) + " values");
  }
  if (channels != 1 && channels != 3) {
    throw ShapeError("pictures are gray or RGB, the network takes " + std::to_string(channels) + " channels",
                     "give its input to infer()");
  }
  if (image.channels != channels) {  // before the resize, as PIL's convert() before Resize
    converted_.resize(static_cast<std::size_t>(area * channels));
    for (std::int64_t i = 0; i < area; ++i) {
      for (std::int64_t c = 0; c < channels; ++c) {
        converted_[static_cast<std::size_t>(i * channels + c)] =
            channels == 1 ? luma(pixels + 3 * i) : pixels[i];
      }
    }
    pixels = converted_.data();
  }
  if (height != image.height || width != image.width) {
    const std::array<std::int64_t, 3> key = {image.height, image.width, channels};
    auto found = resamplers_.find(key);
    if (found == resamplers_.end()) {
      found = resamplers_.emplace(key, images::Resampler(image.height, image.width, height, width, channels))
                  .first;
    }
    resized_.resize(static_cast<std::size_t>(height * width * channels));
    found->second.run(pixels, resized_.data(), between_);
    pixels = resized_.data();
  }
  to_floats({pixels, out.size()}, channels, layout, out.data());
}

void preprocess(const Preprocessing& preprocessing, const Image& image, std::span<float> out,
                ImageLayout layout) {
  Preprocessor(preprocessing).run(image, layout, out);
}

}  // namespace resnet::data

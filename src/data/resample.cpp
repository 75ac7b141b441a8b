#include "data/resample.h"

#include <algorithm>
#include <cmath>

#include "resnet/data.h"

namespace resnet::data {
namespace {

constexpr int kBits = 22;  // of the fractions: 32 - 8 bits of a pixel - 2 for the sum
constexpr std::int64_t kMostPixels = 65535;

std::uint8_t to_byte(std::int32_t fixed) {
  return static_cast<std::uint8_t>(std::clamp(fixed >> kBits, 0, 255));
}

constexpr std::int32_t kHalf = 1 << (kBits - 1);

}  // namespace

Resampler::Resampler(std::int64_t in_height, std::int64_t in_width, std::int64_t out_height,
                     std::int64_t out_width, std::int64_t channels)
    : in_height_(in_height),
      in_width_(in_width),
      out_height_(out_height),
      out_width_(out_width),
      channels_(channels) {
  for (const std::int64_t size : {in_height, in_width, out_height, out_width}) {
    if (size < 1 || size > kMostPixels) {
      throw ShapeError("cannot resize " + std::to_string(in_height) + "x" + std::to_string(in_width) +
                           " to " + std::to_string(out_height) + "x" + std::to_string(out_width),
                       "sides must be 1 to 65535 pixels");
    }
  }
  x_ = make_axis(in_width, out_width);
  y_ = make_axis(in_height, out_height);
}

Resampler::Axis Resampler::make_axis(std::int64_t in, std::int64_t out) {
  Axis axis;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);  // nothing is smoothed when enlarging
  const double support = filter_scale;               // the triangle's half width is 1
  const double inverse = 1.0 / filter_scale;
  axis.taps = static_cast<std::int64_t>(std::ceil(support)) * 2 + 1;
  axis.weights.assign(static_cast<std::size_t>(out * axis.taps), 0);
  std::vector<double> weights(static_cast<std::size_t>(axis.taps));
  for (std::int64_t i = 0; i < out; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(0, static_cast<std::int64_t>(center - support + 0.5));
    const auto last = std::min<std::int64_t>(in, static_cast<std::int64_t>(center + support + 0.5));
    double sum = 0;
    for (std::int64_t j = first; j < last; ++j) {
      const double distance = std::abs((static_cast<double>(j) - center + 0.5) * inverse);
      const double weight = distance < 1.0 ? 1.0 - distance : 0.0;
      weights[static_cast<std::size_t>(j - first)] = weight;
      sum += weight;
    }
    for (std::int64_t j = first; j < last; ++j) {
      const auto k = static_cast<std::size_t>(j - first);
      const double normalised = sum == 0.0 ? weights[k] : weights[k] / sum;
      axis.weights[static_cast<std::size_t>(i * axis.taps) + k] =
          static_cast<std::int32_t>(std::floor(0.5 + normalised * (1 << kBits)));  // weights are not negative
    }
    axis.first.push_back(static_cast<std::int32_t>(first));
    axis.count.push_back(static_cast<std::int32_t>(last - first));
  }
  return axis;
}

void Resampler::horizontal(const std::uint8_t* in, std::uint8_t* out) const {
  for (std::int64_t y = 0; y < in_height_; ++y) {
    const std::uint8_t* row = in + y * in_width_ * channels_;
    std::uint8_t* to = out + y * out_width_ * channels_;
    for (std::int64_t x = 0; x < out_width_; ++x) {
      const std::int32_t* weights = x_.weights.data() + x * x_.taps;
      const auto at = static_cast<std::size_t>(x);
      const std::uint8_t* from = row + x_.first[at] * channels_;
      for (std::int64_t c = 0; c < channels_; ++c) {
        std::int32_t sum = kHalf;
        for (std::int32_t k = 0; k < x_.count[at]; ++k) sum += weights[k] * from[k * channels_ + c];
        to[x * channels_ + c] = to_byte(sum);
      }
    }
  }
}

void Resampler::vertical(const std::uint8_t* in, std::uint8_t* out) const {
  const std::int64_t row = out_width_ * channels_;
  constexpr std::int64_t kBlock = 256;  // sums of one stretch of a row stay in L1
  std::int32_t sums[kBlock];
  for (std::int64_t y = 0; y < out_height_; ++y) {
    const std::int32_t* weights = y_.weights.data() + y * y_.taps;
    const auto at = static_cast<std::size_t>(y);
    for (std::int64_t begin = 0; begin < row; begin += kBlock) {
      const std::int64_t count = std::min(kBlock, row - begin);
      std::fill_n(sums, count, kHalf);
      for (std::int32_t k = 0; k < y_.count[at]; ++k) {
        const std::uint8_t* from = in + (y_.first[at] + k) * row + begin;
        const std::int32_t weight = weights[k];
        for (std::int64_t i = 0; i < count; ++i) sums[i] += weight * from[i];
      }
      for (std::int64_t i = 0; i < count; ++i) out[y * row + begin + i] = to_byte(sums[i]);
    }
  }
}

void Resampler::run(const std::uint8_t* in, std::uint8_t* out, std::vector<std::uint8_t>& between) const {
  const bool wide = in_width_ != out_width_;
  const bool high = in_height_ != out_height_;
  if (!wide && !high) {
    std::copy_n(in, in_height_ * in_width_ * channels_, out);
  } else if (!high) {
    horizontal(in, out);
  } else if (!wide) {
    vertical(in, out);
  } else {
    between.resize(static_cast<std::size_t>(in_height_ * out_width_ * channels_));
    horizontal(in, between.data());
    vertical(between.data(), out);
  }
}

void check_image(const Image& image) {
  const bool sizes = image.height > 0 && image.height <= kMostPixels && image.width > 0 &&
                     image.width <= kMostPixels && (image.channels == 1 || image.channels == 3);
  if (sizes && static_cast<std::int64_t>(image.pixels.size()) == image.height * image.width * image.channels)
    return;
  throw ShapeError("an image of " + std::to_string(image.height) + "x" + std::to_string(image.width) +
                       " with " + std::to_string(image.channels) + " channels and " +
                       std::to_string(image.pixels.size()) + " bytes",
                   "sides are 1 to 65535 pixels, channels 1 (gray) or 3 (RGB), a byte each");
}

Image resize_bilinear(const Image& image, std::int64_t height, std::int64_t width) {
  check_image(image);
  const Resampler resampler(image.height, image.width, height, width, image.channels);
  Image result{height, width, image.channels, {}};
  result.pixels.resize(static_cast<std::size_t>(height * width * image.channels));
  std::vector<std::uint8_t> between;
  resampler.run(image.pixels.data(), result.pixels.data(), between);
  return result;
}

}  // namespace resnet::data

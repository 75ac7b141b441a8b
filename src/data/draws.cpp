// What random transforms draw: torchvision's distributions from counter-based numbers.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "data/augment.h"

namespace resnet::data {
namespace {

// Half to even, as Python's round().
std::int64_t rounded(double value) {
  return static_cast<std::int64_t>(std::nearbyint(value));
}

// An area and a proportion, even in its logarithm; {height, width} for a proportion of height / width.
std::pair<std::int64_t, std::int64_t> draw_sides(double area, double least_area, double most_area,
                                                 double least_ratio, double most_ratio, Draws& draws) {
  const double share = area * draws.uniform(least_area, most_area);
  const double ratio = std::exp(draws.uniform(std::log(least_ratio), std::log(most_ratio)));
  return {rounded(std::sqrt(share * ratio)), rounded(std::sqrt(share / ratio))};
}

constexpr int kTries = 10;  // of a box that does not fit

}  // namespace

std::int64_t Draws::below(std::int64_t bound) {
  next_ += next_ % 2;
  const std::uint64_t pair = next_ / 2;
  next_ += 2;
  return static_cast<std::int64_t>(stream_.below(pair, static_cast<std::uint64_t>(bound)));
}

double Draws::normal() {
  next_ += next_ % 2;
  const std::uint64_t pair = next_ / 2;
  next_ += 2;
  return stream_.normal(pair);
}

// Source: Marsaglia, Tsang, "A simple method for generating gamma variables", 2000; 95 % of the tries are
// taken.
double Draws::gamma(double alpha) {
  if (alpha < 1) {
    const double root = std::pow(1 - share(), 1 / alpha);
    return gamma(alpha + 1) * root;
  }
  const double d = alpha - 1.0 / 3.0, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal(), v = std::pow(1 + c * x, 3);
    const double u = 1 - share();  // (0, 1]
    if (v > 0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

double Draws::beta(double alpha) {
  const double a = gamma(alpha), b = gamma(alpha);
  return a + b > 0 ? a / (a + b) : (chance(0.5) ? 1 : 0);  // tiny alpha: both may vanish
}

images::Box draw(const RandomResizedCrop& o, std::int64_t height, std::int64_t width, Draws& draws) {
  const auto area = static_cast<double>(height * width);
  for (int i = 0; i < kTries; ++i) {
    const auto [w, h] = draw_sides(area, o.least_area, o.most_area, o.least_ratio, o.most_ratio, draws);
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const std::int64_t top = draws.below(height - h + 1);
    return {top, draws.below(width - w + 1), h, w};
  }
  std::int64_t h = height, w = width;  // the whole, or its middle
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  if (ratio < o.least_ratio)
    h = std::clamp<std::int64_t>(rounded(static_cast<double>(w) / o.least_ratio), 1, height);
  if (ratio > o.most_ratio)
    w = std::clamp<std::int64_t>(rounded(static_cast<double>(h) * o.most_ratio), 1, width);
  return {(height - h) / 2, (width - w) / 2, h, w};
}

images::Box draw(const PaddingCrop& o, std::int64_t height, std::int64_t width, std::int64_t crop_height,
                 std::int64_t crop_width, Draws& draws) {
  images::Box box = images::center_box(height, width, crop_height, crop_width);  // where it is too small
  const std::int64_t down = height + 2 * o.padding - crop_height, right = width + 2 * o.padding - crop_width;
  const std::int64_t top = draws.below(std::max<std::int64_t>(down, 0) + 1);
  const std::int64_t left = draws.below(std::max<std::int64_t>(right, 0) + 1);
  if (down >= 0) box.top = top - o.padding;
  if (right >= 0) box.left = left - o.padding;
  return box;
}

images::Box draw(const RandomErasing& o, std::int64_t height, std::int64_t width, Draws& draws) {
  if (!draws.chance(o.probability)) return {};
  const auto area = static_cast<double>(height * width);
  for (int i = 0; i < kTries; ++i) {
    const auto [h, w] = draw_sides(area, o.least_area, o.most_area, o.least_ratio, o.most_ratio, draws);
    if (h >= height || w >= width) continue;
    const std::int64_t top = draws.below(height - h + 1);
    return {top, draws.below(width - w + 1), h, w};
  }
  return {};
}

images::Box draw(const Cutout& o, std::int64_t height, std::int64_t width, Draws& draws) {
  const auto span = [&](std::int64_t size) {
    const std::int64_t begin = draws.below(size) - o.side / 2;
    return std::pair(std::max<std::int64_t>(begin, 0), std::min(begin + o.side, size));
  };
  const auto [top, bottom] = span(height);
  const auto [left, right] = span(width);
  return {top, left, bottom - top, right - left};
}

double draw(const Rotation& o, Draws& draws) {
  return draws.uniform(-o.degrees, o.degrees);
}

Jitter draw(const ColorJitter& o, Draws& draws) {
  Jitter result{};
  std::iota(result.order.begin(), result.order.end(), 0);
  for (std::size_t i = result.order.size(); i > 1; --i) {
    std::swap(result.order[i - 1],
              result.order[static_cast<std::size_t>(draws.below(static_cast<std::int64_t>(i)))]);
  }
  const std::array<double, 3> spans = {o.brightness, o.contrast, o.saturation};
  for (std::size_t i = 0; i < spans.size(); ++i) {
    result.factor[i] = draws.uniform(std::max(0.0, 1 - spans[i]), 1 + spans[i]);
  }
  result.factor[3] = draws.uniform(-o.hue, o.hue);
  return result;
}

Mixing draw(const MixUp& o, Draws& draws) {
  return {draws.beta(o.alpha), false, {}};
}

Mixing draw(const CutMix& o, std::int64_t height, std::int64_t width, Draws& draws) {
  const double half = 0.5 * std::sqrt(1 - draws.beta(o.alpha));
  const auto span = [&](std::int64_t size) {
    const std::int64_t middle = draws.below(size);
    const auto reach = static_cast<std::int64_t>(half * static_cast<double>(size));
    return std::pair(std::max<std::int64_t>(middle - reach, 0), std::min(middle + reach, size));
  };
  const auto [left, right] = span(width);
  const auto [top, bottom] = span(height);
  const double share =
      static_cast<double>((bottom - top) * (right - left)) / static_cast<double>(height * width);
  return {1 - share, true, {top, left, bottom - top, right - left}};
}

}  // namespace resnet::data

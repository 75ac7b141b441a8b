// The operations of RandAugment and TrivialAugment, with torchvision's names, ranges and roundings.
#include <array>
#include <cmath>
#include <numbers>

#include "data/augment.h"
#include "images/adjust.h"

namespace resnet::data {
namespace {

enum Operation : std::size_t {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  turn,
  brightness,
  color,
  contrast,
  sharpness,
  bits,
  threshold,
  stretch,
  even
};
constexpr std::array<const char*, 14> kOperations = {
    "Identity", "ShearX",   "ShearY",    "TranslateX", "TranslateY", "Rotate",       "Brightness",
    "Color",    "Contrast", "Sharpness", "Posterize",  "Solarize",   "AutoContrast", "Equalize"};
constexpr std::int64_t kBins = 31;  // magnitudes 0 to 30

// The largest magnitudes, and of Posterize the most bits that go.
struct Ranges {
  double shear, across, down, degrees, factor, lost_bits;
};

// PyTorch's linspace(first, last, kBins) at `bin`, in float.
double spaced(double first, double last, std::int64_t bin) {
  const auto from = static_cast<float>(first), to = static_cast<float>(last);
  const float step = (to - from) / static_cast<float>(kBins - 1);
  if (bin < kBins / 2) return from + step * static_cast<float>(bin);
  return std::fma(-step, static_cast<float>(kBins - 1 - bin), to);
}

double magnitude_of(std::size_t operation, std::int64_t bin, const Ranges& ranges) {
  switch (operation) {
    case shear_x:
    case shear_y:
      return spaced(0, ranges.shear, bin);
    case translate_x:
      return spaced(0, ranges.across, bin);
    case translate_y:
      return spaced(0, ranges.down, bin);
    case turn:
      return spaced(0, ranges.degrees, bin);
    case brightness:
    case color:
    case contrast:
    case sharpness:
      return spaced(0, ranges.factor, bin);
    case bits:
      return 8 -
             std::nearbyint(static_cast<double>(bin) / (static_cast<double>(kBins - 1) / ranges.lost_bits));
    case threshold:
      return spaced(255, 0, bin);
    default:
      return 0;
  }
}

// By way of degrees, as torchvision: the last bit of a shear counts between two pixels.
double sheared_angle(double shear) {
  constexpr double kDegrees = 180 / std::numbers::pi, kRadians = std::numbers::pi / 180;
  return std::atan(shear) * kDegrees * kRadians;
}

PolicyCall draw_call(std::int64_t bin, const Ranges& ranges, Draws& draws) {
  PolicyCall call;
  call.operation = static_cast<std::size_t>(draws.below(kOperations.size()));
  if (bin < 0) bin = draws.below(kBins);
  const bool has_sign = call.operation >= shear_x && call.operation <= sharpness;
  call.magnitude = magnitude_of(call.operation, bin, ranges);
  if (draws.chance(0.5) && has_sign) call.magnitude = -call.magnitude;
  return call;
}

}  // namespace

std::span<const char* const> policy_operations() {
  return kOperations;
}

PolicyCall draw(const RandAugment& options, std::int64_t height, std::int64_t width, Draws& draws) {
  constexpr double kShift = 150.0 / 331.0;  // of a side
  return draw_call(
      options.magnitude,
      {0.3, kShift * static_cast<double>(width), kShift * static_cast<double>(height), 30, 0.9, 4}, draws);
}

PolicyCall draw(const TrivialAugment&, Draws& draws) {
  return draw_call(-1, {0.99, 32, 32, 135, 0.99, 6}, draws);
}

void apply(const PolicyCall& call, images::Interpolation interpolation, Image& image) {
  const double m = call.magnitude;
  const auto affine = [&](const std::array<double, 6>& matrix) {
    images::affine(image, matrix, interpolation);
  };
  switch (call.operation) {
    case shear_x:
      return affine({1, std::tan(sheared_angle(m)), 0, 0, 1, 0});
    case shear_y:
      return affine({1, 0, 0, std::sin(sheared_angle(m)) / std::cos(sheared_angle(m)), 1, 0});
    case translate_x:
      return affine({1, 0, -std::trunc(m), 0, 1, 0});
    case translate_y:
      return affine({1, 0, 0, 0, 1, -std::trunc(m)});
    case turn:
      return images::rotate(image, m, interpolation);
    case brightness:
      return images::adjust_brightness(image, 1 + m);
    case color:
      return images::adjust_saturation(image, 1 + m);
    case contrast:
      return images::adjust_contrast(image, 1 + m);
    case sharpness:
      return images::adjust_sharpness(image, 1 + m);
    case bits:
      return images::posterize(image, static_cast<int>(m));
    case threshold:
      return images::solarize(image, m);
    case stretch:
      return images::autocontrast(image);
    case even:
      return images::equalize(image);
    default:
      return;
  }
}

}  // namespace resnet::data

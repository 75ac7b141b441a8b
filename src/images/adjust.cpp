#include "images/adjust.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace resnet::images {
namespace {

constexpr int kMost = 255;
using Table = std::array<std::uint8_t, 256>;
using Histogram = std::array<std::int64_t, 256>;

std::uint8_t to_byte(int value) {
  return static_cast<std::uint8_t>(std::clamp(value, 0, kMost));
}

// Pillow's Image.blend of one byte, from `from` (factor 0) to `to` (factor 1), and beyond.
std::uint8_t blended(std::uint8_t from, std::uint8_t to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<std::uint8_t>(std::clamp(value, 0.0F, static_cast<float>(kMost)));  // truncated
}

// Each byte by a table of its channel's.
template <class TableOf>
void map_channels(Image& image, const TableOf& table_of) {
  const auto channels = static_cast<std::size_t>(image.channels);
  for (std::size_t c = 0; c < channels; ++c) {
    Histogram histogram{};
    for (std::size_t i = c; i < image.pixels.size(); i += channels) ++histogram[image.pixels[i]];
    const Table table = table_of(histogram);
    for (std::size_t i = c; i < image.pixels.size(); i += channels) image.pixels[i] = table[image.pixels[i]];
  }
}

template <class Function>
void map_bytes(Image& image, const Function& function) {
  Table table;
  for (int i = 0; i <= kMost; ++i) table[static_cast<std::size_t>(i)] = function(i);
  for (std::uint8_t& byte : image.pixels) byte = table[byte];
}

template <class Function>
void each_pixel(Image& image, const Function& function) {
  const auto channels = static_cast<std::size_t>(image.channels);
  for (std::size_t i = 0; i + channels <= image.pixels.size(); i += channels) function(&image.pixels[i]);
}

struct Hsv {
  std::uint8_t h = 0, s = 0, v = 0;
};

Hsv to_hsv(const std::uint8_t* rgb) {
  const auto [least, most] = std::minmax({rgb[0], rgb[1], rgb[2]});
  if (least == most) return {0, 0, most};
  const auto range = static_cast<float>(most - least);
  const float saturation = range / static_cast<float>(most);
  std::array<float, 3> below{};  // how far below the largest, of the range
  for (std::size_t c = 0; c < 3; ++c) below[c] = static_cast<float>(most - rgb[c]) / range;
  double hue = 4.0 + below[1] - below[0];
  if (rgb[0] == most) {
    hue = below[2] - below[1];
  } else if (rgb[1] == most) {
    hue = 2.0 + below[0] - below[2];
  }
  const auto sixths = static_cast<float>(hue);
  const auto turn = static_cast<float>(std::fmod(static_cast<double>(sixths) / 6.0 + 1.0, 1.0));
  return {to_byte(static_cast<int>(static_cast<double>(turn) * 255.0)),
          to_byte(static_cast<int>(static_cast<double>(saturation) * 255.0)), most};
}

void to_rgb(const Hsv& hsv, std::uint8_t* rgb) {
  const double sixths = static_cast<double>(hsv.h) * 6.0 / 255.0;
  const int sector = static_cast<int>(std::floor(sixths));
  const double rest = static_cast<float>(sixths - sector);
  const double saturation = static_cast<float>(hsv.s / 255.0);
  const auto part = [&](double share) {
    return to_byte(static_cast<int>(std::round(hsv.v * (1.0 - share))));
  };
  const std::uint8_t v = hsv.v, p = part(saturation), q = part(saturation * rest),
                     t = part(saturation * (1.0 - rest));
  const std::array<std::array<std::uint8_t, 3>, 6> sectors = {
      {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}}};
  std::copy_n(sectors[static_cast<std::size_t>(sector % 6)].begin(), 3, rgb);
}

}  // namespace

void adjust_brightness(Image& image, double factor) {
  const auto f = static_cast<float>(factor);
  map_bytes(image, [f](int i) { return blended(0, static_cast<std::uint8_t>(i), f); });
}

void adjust_contrast(Image& image, double factor) {
  std::int64_t sum = 0;
  each_pixel(image, [&](const std::uint8_t* p) { sum += image.channels == 1 ? p[0] : luma(p); });
  const double mean = static_cast<double>(sum) / static_cast<double>(image.height * image.width);
  const auto gray = static_cast<std::uint8_t>(std::floor(mean + 0.5));
  const auto f = static_cast<float>(factor);
  map_bytes(image, [=](int i) { return blended(gray, static_cast<std::uint8_t>(i), f); });
}

void adjust_saturation(Image& image, double factor) {
  if (image.channels == 1) return;
  const auto f = static_cast<float>(factor);
  each_pixel(image, [f](std::uint8_t* p) {
    const std::uint8_t gray = luma(p);
    for (int c = 0; c < 3; ++c) p[c] = blended(gray, p[c], f);
  });
}

// The smooth picture is Pillow's SMOOTH: 3x3 weights 1 with 5 in the middle, over 13, rounded; the border
// stays. Pillow sums in float, where no sum of 13ths is near a half.
void adjust_sharpness(Image& image, double factor) {
  const auto f = static_cast<float>(factor);
  const std::vector<std::uint8_t> from = image.pixels;
  const std::int64_t c = image.channels, row = image.width * c;
  for (std::int64_t y = 1; y + 1 < image.height; ++y) {
    for (std::int64_t x = c; x + c < row; ++x) {
      const std::uint8_t* p = from.data() + y * row + x;
      int sum = 4 * p[0];
      for (const std::int64_t up : {-row, std::int64_t{0}, row}) sum += p[up - c] + p[up] + p[up + c];
      const auto smooth = static_cast<std::uint8_t>((2 * sum + 13) / 26);
      image.pixels[static_cast<std::size_t>(y * row + x)] = blended(smooth, p[0], f);
    }
  }
}

void adjust_hue(Image& image, double turn) {
  if (image.channels == 1) return;
  const auto shift = static_cast<std::uint8_t>(static_cast<int>(turn * 255.0));
  each_pixel(image, [shift](std::uint8_t* p) {
    Hsv hsv = to_hsv(p);
    hsv.h = static_cast<std::uint8_t>(hsv.h + shift);  // around the circle
    if (hsv.s == 0) {
      std::fill_n(p, 3, hsv.v);
    } else {
      to_rgb(hsv, p);
    }
  });
}

void posterize(Image& image, int bits) {
  const int mask = ~((1 << (8 - bits)) - 1);
  map_bytes(image, [mask](int i) { return static_cast<std::uint8_t>(i & mask); });
}

void solarize(Image& image, double threshold) {
  map_bytes(image, [threshold](int i) { return static_cast<std::uint8_t>(i < threshold ? i : kMost - i); });
}

void autocontrast(Image& image) {
  map_channels(image, [](const Histogram& histogram) {
    const auto used = [](std::int64_t count) { return count != 0; };
    const auto low = std::find_if(histogram.begin(), histogram.end(), used) - histogram.begin();
    const auto high = kMost - (std::find_if(histogram.rbegin(), histogram.rend(), used) - histogram.rbegin());
    const double scale = high > low ? 255.0 / static_cast<double>(high - low) : 1;
    const double offset = high > low ? -static_cast<double>(low) * scale : 0;
    Table table;
    for (int i = 0; i <= kMost; ++i) {
      table[static_cast<std::size_t>(i)] = to_byte(static_cast<int>(i * scale + offset));
    }
    return table;
  });
}

void equalize(Image& image) {
  map_channels(image, [](const Histogram& histogram) {
    std::int64_t sum = 0, last = 0;
    for (const std::int64_t count : histogram) {
      sum += count;
      if (count != 0) last = count;
    }
    const std::int64_t step = (sum - last) / kMost;
    Table table;
    std::int64_t n = step / 2;
    for (std::size_t i = 0; i < table.size(); ++i) {
      table[i] = to_byte(static_cast<int>(step == 0 ? static_cast<std::int64_t>(i) : n / step));
      n += histogram[i];
    }
    return table;
  });
}

}  // namespace resnet::images

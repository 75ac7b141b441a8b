#include "images/geometry.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numbers>

namespace resnet::images {
namespace {

// The index in [0, size) that a border gives for `i`, or -1.
std::int64_t inside(std::int64_t i, std::int64_t size, Border border) {
  if (i >= 0 && i < size) return i;
  if (border == Border::zero) return -1;
  const std::int64_t reflected = i < 0 ? -i : 2 * (size - 1) - i;
  return std::clamp<std::int64_t>(reflected, 0, size - 1);
}

// Half to even, as Python's round().
std::int64_t half_of(std::int64_t difference) {
  return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(difference) / 2.0));
}

// As Python's round(value, 15).
double rounded(double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.15f", value);
  return std::strtod(text.data(), nullptr);
}

// out(x, y) = in at (column(x, y), row(x, y)), each of which may be outside.
template <class Where>
void gather(Image& image, const Where& where) {
  const std::vector<std::uint8_t> from = image.pixels;
  const std::int64_t channels = image.channels;
  std::uint8_t* out = image.pixels.data();
  for (std::int64_t y = 0; y < image.height; ++y) {
    for (std::int64_t x = 0; x < image.width; ++x, out += channels) {
      const auto [column, row] = where(x, y);
      if (column < 0 || row < 0 || column >= image.width || row >= image.height) {
        std::fill_n(out, channels, std::uint8_t{0});
      } else {
        std::copy_n(from.data() + (row * image.width + column) * channels, channels, out);
      }
    }
  }
}

std::int64_t fixed(double value) {
  return static_cast<std::int64_t>(std::floor(value * 65536.0 + 0.5));
}

std::vector<std::int64_t> scaled(std::int64_t size, double scale, double offset) {
  std::vector<std::int64_t> result;
  double position = offset + scale * 0.5;
  for (std::int64_t i = 0; i < size; ++i, position += scale) {
    result.push_back(position < 0 ? -1 : static_cast<std::int64_t>(std::min(position, 65536.0)));
  }
  return result;
}

// The sides of a pixel's square have a pixel's centre each: beyond the outer ones the edge goes on. Bytes are
// cut off, not rounded.
void affine_bilinear(Image& image, const std::array<double, 6>& m) {
  const std::vector<std::uint8_t> from = image.pixels;
  const std::int64_t channels = image.channels, width = image.width, height = image.height;
  std::uint8_t* out = image.pixels.data();
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x, out += channels) {
      const double xc = static_cast<double>(x) + 0.5, yc = static_cast<double>(y) + 0.5;
      double column = m[0] * xc + m[1] * yc + m[2], row = m[3] * xc + m[4] * yc + m[5];
      if (!(column >= 0 && column < static_cast<double>(width) && row >= 0 &&
            row < static_cast<double>(height))) {
        std::fill_n(out, channels, std::uint8_t{0});
        continue;
      }
      column -= 0.5;
      row -= 0.5;
      const auto left = static_cast<std::int64_t>(std::floor(column));
      const auto top = static_cast<std::int64_t>(std::floor(row));
      const double across = column - static_cast<double>(left), down = row - static_cast<double>(top);
      const std::int64_t x0 = std::max<std::int64_t>(left, 0) * channels;
      const std::int64_t x1 = std::min(left + 1, width - 1) * channels;
      const std::uint8_t* upper = from.data() + std::max<std::int64_t>(top, 0) * width * channels;
      const std::uint8_t* lower = from.data() + std::min(top + 1, height - 1) * width * channels;
      for (std::int64_t c = 0; c < channels; ++c) {
        const auto between = [&](const std::uint8_t* line) {
          return line[x0 + c] + (line[x1 + c] - line[x0 + c]) * across;
        };
        const double above = between(upper);
        out[c] = static_cast<std::uint8_t>(above + (between(lower) - above) * down);
      }
    }
  }
}

}  // namespace

void crop(const Image& image, const Box& box, Border border, Image& out) {
  const std::int64_t channels = image.channels;
  out.height = box.height;
  out.width = box.width;
  out.channels = channels;
  out.pixels.resize(static_cast<std::size_t>(box.height * box.width * channels));
  std::uint8_t* to = out.pixels.data();
  const bool whole_rows = box.left >= 0 && box.left + box.width <= image.width;
  for (std::int64_t y = 0; y < box.height; ++y, to += box.width * channels) {
    const std::int64_t row = inside(box.top + y, image.height, border);
    if (row < 0) {
      std::fill_n(to, box.width * channels, std::uint8_t{0});
      continue;
    }
    const std::uint8_t* from = image.pixels.data() + row * image.width * channels;
    if (whole_rows) {
      std::copy_n(from + box.left * channels, box.width * channels, to);
      continue;
    }
    for (std::int64_t x = 0; x < box.width; ++x) {
      const std::int64_t column = inside(box.left + x, image.width, border);
      for (std::int64_t c = 0; c < channels; ++c) {
        to[x * channels + c] = column < 0 ? std::uint8_t{0} : from[column * channels + c];
      }
    }
  }
}

Box center_box(std::int64_t height, std::int64_t width, std::int64_t crop_height, std::int64_t crop_width) {
  const auto offset = [](std::int64_t size, std::int64_t wanted) {
    return size < wanted ? -((wanted - size) / 2) : half_of(size - wanted);
  };
  return {offset(height, crop_height), offset(width, crop_width), crop_height, crop_width};
}

void flip(Image& image) {
  const std::int64_t channels = image.channels, row = image.width * channels;
  for (std::int64_t y = 0; y < image.height; ++y) {
    std::uint8_t* left = image.pixels.data() + y * row;
    for (std::uint8_t* right = left + row - channels; left < right; left += channels, right -= channels) {
      std::swap_ranges(left, left + channels, right);
    }
  }
}

void affine(Image& image, const std::array<double, 6>& m, Interpolation interpolation) {
  if (interpolation == Interpolation::bilinear) return affine_bilinear(image, m);
  if (m[1] == 0 && m[3] == 0) {
    const std::vector<std::int64_t> columns = scaled(image.width, m[0], m[2]);
    const std::vector<std::int64_t> rows = scaled(image.height, m[4], m[5]);
    gather(image, [&](std::int64_t x, std::int64_t y) {
      return std::pair(columns[static_cast<std::size_t>(x)], rows[static_cast<std::size_t>(y)]);
    });
    return;
  }
  const std::int64_t xx = fixed(m[0]), xy = fixed(m[1]), x0 = fixed(m[2] + m[0] * 0.5 + m[1] * 0.5);
  const std::int64_t yx = fixed(m[3]), yy = fixed(m[4]), y0 = fixed(m[5] + m[3] * 0.5 + m[4] * 0.5);
  gather(image, [=](std::int64_t x, std::int64_t y) {
    return std::pair((x0 + xx * x + xy * y) >> 16, (y0 + yx * x + yy * y) >> 16);
  });
}

void rotate(Image& image, double degrees, Interpolation interpolation) {
  const double angle = degrees - 360.0 * std::floor(degrees / 360.0);
  const std::int64_t right = image.width - 1, bottom = image.height - 1;
  if (angle == 0) return;
  if (angle == 180) return gather(image, [=](auto x, auto y) { return std::pair(right - x, bottom - y); });
  if (image.width == image.height && angle == 90) {
    return gather(image, [=](auto x, auto y) { return std::pair(right - y, x); });
  }
  if (image.width == image.height && angle == 270) {
    return gather(image, [=](auto x, auto y) { return std::pair(y, bottom - x); });
  }
  const double radians = -(angle * (std::numbers::pi / 180.0));
  const double c = rounded(std::cos(radians)), s = rounded(std::sin(radians));
  const double x = static_cast<double>(image.width) / 2.0, y = static_cast<double>(image.height) / 2.0;
  affine(image, {c, s, c * -x + s * -y + 0.0 + x, -s, c, -s * -x + c * -y + 0.0 + y}, interpolation);
}

}  // namespace resnet::images

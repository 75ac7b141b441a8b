// Bytes of a set of pictures -> the network's input: gathered, resized byte for byte as images/resample.h
// does, cut, mirrored and looked up in a table of what each byte becomes. No number is computed but in whole
// ones.
#pragma once

#include "device/args.h"
#include "device/words.h"

namespace resnet::device {

inline constexpr int kResizeBits = 22;  // of the fractions, as images/resample.cpp

RESNET_WORD int clamped(int v, int low, int high) {
  return v < low ? low : v > high ? high : v;
}

/// What a resize gives at `i`: `byte(k)` is input k.
template <class Byte>
RESNET_WORD int blended(const ResizeAxis& axis, int i, const Byte& byte) {
  if (axis.taps == 0) return byte(i);
  const int first = axis.first[i], count = axis.count[i];
  const std::int32_t* weights = axis.weights + static_cast<std::int64_t>(i) * axis.taps;
  std::int32_t sum = 1 << (kResizeBits - 1);
  // Taps are few, three of an enlargement.
  RESNET_NO_UNROLL
  for (int k = 0; k < count; ++k) sum += weights[k] * byte(first + k);
  return clamped(sum >> kResizeBits, 0, 255);
}

/// The inputs [begin, end) that the outputs [low, high] of a resize need.
RESNET_WORD int begin_of(const ResizeAxis& axis, int low) {
  return axis.taps == 0 ? low : axis.first[low];
}
RESNET_WORD int end_of(const ResizeAxis& axis, int high) {
  return axis.taps == 0 ? high + 1 : axis.first[high] + axis.count[high];
}

/// Where pixel i of an image of `size` comes from in a resized picture of `all`, of which what is cut begins
/// at `begin`: -1 beyond an edge with nothing behind it. Rules of images::crop and of train/views.h.
RESNET_WORD int source_of(int i, int size, int shift, bool mirrored, int begin, int all, bool reflect) {
  i = clamped(i - shift, 0, size - 1);
  i = begin + (mirrored ? size - 1 - i : i);
  if (i >= 0 && i < all) return i;
  if (!reflect) return -1;
  if (i < 0) i = -i;
  if (i >= all) i = 2 * (all - 1) - i;
  return clamped(i, 0, all - 1);
}

RESNET_WORD void pictures(const PicturesArgs& g) {
  const int n = block() / g.bands, first_row = block() % g.bands * g.band_rows;
  const int end_row = first_row + g.band_rows < g.height ? first_row + g.band_rows : g.height;
  const PictureRecord r = g.records[n];
  const auto row_of = [&](int h) {
    return source_of(h, g.height, r.shift, false, r.top, g.rows.out, g.reflect != 0);
  };
  const auto column_of = [&](int w) {
    return source_of(w, g.width, r.shift, r.mirrored != 0, r.left, g.columns.out, g.reflect != 0);
  };

  int low = g.rows.out, high = -1;  // rows of the resized picture that the band shows
  for (int h = first_row; h < end_row; ++h) {
    const int row = row_of(h);
    low = row >= 0 && row < low ? row : low;
    high = row > high ? row : high;
  }
  const int begin = high < 0 ? 0 : begin_of(g.rows, low), end = high < 0 ? 0 : end_of(g.rows, high);

  // The horizontal pass of the rows that those need; [row][column][channel].
  const Shared<std::uint8_t> wide = shared<std::uint8_t>(0);
  const int channels = g.channels, line = g.columns.out * channels;
  const std::uint8_t* picture =
      g.set + (static_cast<std::int64_t>(r.example) * g.rows.in + begin) * g.columns.in * channels;
  for (int i = thread(); i < (end - begin) * line; i += kThreads) {
    const int y = i / line, x = i % line / channels, c = i % channels;
    const std::uint8_t* row = picture + static_cast<std::int64_t>(y) * g.columns.in * channels + c;
    wide.store(i, static_cast<std::uint8_t>(blended(g.columns, x, [&](int k) {
                 return static_cast<int>(row[static_cast<std::int64_t>(k) * channels]);
               })));
  }
  sync();

  const int band_line = g.width * channels;
  float* images = g.images + (static_cast<std::int64_t>(n) * g.height + first_row) * band_line;
  for (int i = thread(); i < (end_row - first_row) * band_line; i += kThreads) {
    const int h = first_row + i / band_line, w = i % band_line / channels, c = i % channels;
    const bool zero = h >= r.zero_top && h < r.zero_top + r.zero_height && w >= r.zero_left &&
                      w < r.zero_left + r.zero_width;
    const int y = row_of(h), x = column_of(w);
    int byte = 0;
    if (x >= 0 && y >= 0) {
      byte = blended(g.rows, y, [&](int k) {
        return static_cast<int>(wide.load((k - begin) * line + x * channels + c));
      });
    }
    images[i] = zero ? 0.0F : g.values[c * 256 + byte];
  }
  if (g.labels != nullptr && first_row == 0 && thread() == 0) g.labels[n] = r.label;
}

}  // namespace resnet::device

// BILINEAR and BICUBIC resampling of Pillow up to 12, byte for byte.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "resnet/images.h"

namespace resnet::images {

constexpr std::int64_t kMostPixels = 65535;  // of a side of an image

/// Throws ShapeError unless the image is gray or RGB and has as many bytes as its sizes say.
void check_image(const Image& image);

/// Prepared for one pair of sizes; may be used by several threads, each with its own buffer.
/// Source: Pillow, src/libImaging/Resample.c: 22-bit fixed point, a horizontal and a vertical pass, each
/// rounded to bytes; a pass that changes no size is left out.
class Resampler {
 public:
  /// Sizes of 1 to 65,535 pixels, 1 or 3 channels. `portable`: without AVX2, the same bytes.
  Resampler(std::int64_t in_height, std::int64_t in_width, std::int64_t out_height, std::int64_t out_width,
            std::int64_t channels, bool portable = false, Filter filter = Filter::bilinear);

  /// in [in_height][in_width][channels] -> out [out_height][out_width][channels]; `between` is working
  /// memory that is resized as needed: some MB at most, whatever the sizes (13 MB for 65,535 x 65,535).
  void run(const std::uint8_t* in, std::uint8_t* out, std::vector<std::uint8_t>& between) const;

  /// Weights of one axis: output i is the sum over `count[i]` inputs from first[i] on.
  struct Axis {
    std::vector<std::int32_t> first, count;
    std::vector<std::int32_t> weights;  // [out][taps]
    std::int64_t taps = 0;
  };
  const Axis& columns() const noexcept { return x_; }
  const Axis& rows() const noexcept { return y_; }

 private:
  static Axis make_axis(std::int64_t in, std::int64_t out, Filter filter);
  template <std::int64_t C>
  void horizontal(const std::uint8_t* in, std::int64_t begin, std::int64_t end, std::uint8_t* out,
                  std::uint8_t* scratch) const;
  void vertical(const std::uint8_t* in, std::int64_t begin, std::int64_t end, std::uint8_t* out) const;

  std::int64_t in_height_, in_width_, out_height_, out_width_, channels_;
  bool portable_;
  Axis x_, y_;
};

}  // namespace resnet::images

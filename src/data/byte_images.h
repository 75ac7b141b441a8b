// Data sets whose images are bytes of one size in memory.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "resnet/data.h"

namespace resnet::data {

class ByteImages final : public Dataset::Source {
 public:
  /// `pixels` is [n][height][width][channels].
  ByteImages(std::int64_t height, std::int64_t width, std::int64_t channels, std::vector<std::uint8_t> pixels,
             std::vector<std::int32_t> labels)
      : height_(height),
        width_(width),
        channels_(channels),
        pixels_(std::move(pixels)),
        labels_(std::move(labels)) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  std::int32_t label(std::int64_t i) const override { return labels_[static_cast<std::size_t>(i)]; }
  void image(std::int64_t i, Image& out) const override {
    const std::int64_t bytes = height_ * width_ * channels_;
    out.height = height_;
    out.width = width_;
    out.channels = channels_;
    out.pixels.resize(static_cast<std::size_t>(bytes));
    std::copy_n(pixels_.data() + i * bytes, bytes, out.pixels.data());
  }
  bool in_memory() const override { return true; }

 private:
  std::int64_t height_, width_, channels_;
  std::vector<std::uint8_t> pixels_;
  std::vector<std::int32_t> labels_;
};

}  // namespace resnet::data

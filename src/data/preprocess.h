// An image on its way into the network.
#pragma once

#include <array>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "images/resample.h"
#include "resnet/data.h"

namespace resnet::data {

/// Does what a Preprocessing says; keeps its tables and working memory from image to image. One for
/// each thread.
class Preprocessor {
 public:
  explicit Preprocessor(Preprocessing preprocessing) : preprocessing_(preprocessing) {}
  /// Writes f32 in [0,1] in this layout; `out` has as many elements as preprocessed_shape().
  void run(const Image& image, ImageLayout layout, std::span<float> out);

 private:
  Preprocessing preprocessing_;
  std::map<std::array<std::int64_t, 3>, images::Resampler> resamplers_;  // by height, width, channels
  std::vector<std::uint8_t> resized_, between_, converted_;
};

}  // namespace resnet::data

// An image on its way into the network.
#pragma once

#include <array>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "data/augment.h"
#include "images/resample.h"
#include "resnet/data.h"

namespace resnet::data {

/// What data sets of so many channels do to their pictures.
Preprocessing preprocessing_of(const DatasetOptions& options, std::int64_t channels);

/// Does what a Preprocessing says; keeps its tables and working memory from image to image. One for
/// each thread.
class Preprocessor {
 public:
  /// Throws ConfigError as preprocessed_shape().
  explicit Preprocessor(Preprocessing preprocessing);
  /// Writes f32 in this layout; `out` has as many elements as preprocessed_shape().
  void run(const Image& image, ImageLayout layout, std::span<float> out);
  /// The same with the random changes of an example; `out` as its Augmenter knows it.
  void run(const Image& image, ImageLayout layout, std::span<float> out, const Augmenter& augmenter,
           Augmenter::Example example);

 private:
  const Image& converted(const Image& image);
  const Image& resized(const Image& image);
  void resize(const images::Resampler& resampler, const Image& image, std::int64_t height,
              std::int64_t width);
  void to_floats(const Image& image, ImageLayout layout, std::span<float> out) const;

  Preprocessing preprocessing_;
  std::map<std::array<std::int64_t, 3>, images::Resampler> resamplers_;  // by height, width, channels
  std::array<std::array<float, 256>, 3> values_{};                       // of a byte, by channel
  std::vector<std::uint8_t> between_;
  Image converted_, resized_, cut_;
};

}  // namespace resnet::data

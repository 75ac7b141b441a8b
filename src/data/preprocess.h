// An image on its way into the network.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "data/augment.h"
#include "images/resample.h"
#include "resnet/data.h"

namespace resnet::data {

/// What data sets of `channels` channels do to their pictures.
Preprocessing preprocessing_of(const DatasetOptions& options, std::int64_t channels);

/// Height and width of a picture behind the resize.
std::pair<std::int64_t, std::int64_t> resized_size(const Preprocessing& preprocessing, std::int64_t height,
                                                   std::int64_t width);

/// [C,H,W] of every picture behind it; none where that depends on the picture.
std::optional<Shape> fixed_shape(const Preprocessing& preprocessing);

/// Elements of pictures of any size that go through a network together, at most.
inline constexpr std::int64_t kMostOfABatch = 1 << 24;

/// What it says of decoding.
images::Draft draft_of(const Preprocessing& preprocessing);

/// Does what a Preprocessing says; keeps its tables and working memory from image to image. One for
/// each thread.
class Preprocessor {
 public:
  /// Throws ConfigError as preprocessed_shape().
  explicit Preprocessor(Preprocessing preprocessing);
  /// The picture with the network's channels, as prepared() begins.
  const Image& converted(const Image& image);
  /// The picture with the network's channels, behind the resize: what changed() does first where no
  /// RandomResizedCrop does, and what it leaves as it is when it is done already. It is `image`, or valid
  /// until the next call of anything but changed() with it.
  const Image& prepared(const Image& image) { return resized(converted(image)); }
  /// The picture as the network sees it, valid until the next call.
  const Image& changed(const Image& image);
  /// The same with the random changes of an example.
  const Image& changed(const Image& image, const Augmenter& augmenter, Augmenter::Example example);
  /// Writes what changed() gave as f32 in this layout; `out` has as many elements as preprocessed_shape().
  void write(const Image& image, ImageLayout layout, std::span<float> out) const;
  /// The same with the random changes of the network's input.
  void write(const Image& image, ImageLayout layout, std::span<float> out, const Augmenter& augmenter,
             Augmenter::Example example) const;

  /// What a byte becomes, by channel.
  using Values = std::array<std::array<float, 256>, 3>;
  const Values& values() const noexcept { return values_; }

 private:
  const Image& resized(const Image& image);
  void resize(const images::Resampler& resampler, const Image& image, std::int64_t height,
              std::int64_t width);

  Preprocessing preprocessing_;
  std::map<std::array<std::int64_t, 3>, images::Resampler> resamplers_;  // by height, width, channels
  Values values_{};
  std::vector<std::uint8_t> between_;
  Image converted_, resized_, cut_;
};

}  // namespace resnet::data

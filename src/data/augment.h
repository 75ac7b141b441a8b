// What the transforms of an Augmentation draw, and do.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/random.h"
#include "images/geometry.h"
#include "resnet/data.h"

namespace resnet::data {

/// The random numbers of one transform for one example, or one batch, of an epoch: 64 words, enough for all
/// (a rejection that needs more goes on into those of the next). Epochs to 2^26, examples to 2^32; an example
/// that an epoch shows again has another stream.
class Draws {
 public:
  Draws(std::uint64_t seed, std::uint64_t stream, std::int64_t epoch, std::int64_t number)
      : stream_(seed, stream),
        next_((static_cast<std::uint64_t>(epoch) << 38U) + (static_cast<std::uint64_t>(number) << 6U)) {}
  double uniform(double low, double high) { return low + (high - low) * share(); }
  std::int64_t below(std::int64_t bound);
  bool chance(double probability) { return share() < probability; }
  double normal();
  double beta(double alpha);  // Beta(alpha, alpha)

 private:
  double share() { return static_cast<double>(stream_.word(next_++)) * 0x1p-32; }  // [0, 1)
  double gamma(double alpha);

  RandomStream stream_;
  std::uint64_t next_;
};

// The parameters of one picture of this size.
images::Box draw(const RandomResizedCrop& options, std::int64_t height, std::int64_t width, Draws& draws);
images::Box draw(const PaddingCrop& options, std::int64_t height, std::int64_t width,
                 std::int64_t crop_height, std::int64_t crop_width, Draws& draws);
images::Box draw(const RandomErasing& options, std::int64_t height, std::int64_t width, Draws& draws);
images::Box draw(const Cutout& options, std::int64_t height, std::int64_t width, Draws& draws);
/// An angle in degrees.
double draw(const Rotation& options, Draws& draws);
struct Jitter {
  std::array<int, 4> order;      // of brightness, contrast, saturation, hue
  std::array<double, 4> factor;  // the hue's is a turn
};
Jitter draw(const ColorJitter& options, Draws& draws);
struct Mixing {
  double weight = 1;  // of the first label
  bool cut = false;   // CutMix
  images::Box box;    // of the other picture, there
};
Mixing draw(const MixUp& options, Draws& draws);
Mixing draw(const CutMix& options, std::int64_t height, std::int64_t width, Draws& draws);

/// Mixes each example with the one before it, and sets labels and weights; the batch has tensors for them.
void mix(Batch& batch, const Mixing& mixing);

/// What a transform's `bilinear` says.
inline images::Interpolation interpolation_of(bool bilinear) {
  return bilinear ? images::Interpolation::bilinear : images::Interpolation::nearest;
}

/// An operation of RandAugment and TrivialAugment.
struct PolicyCall {
  std::size_t operation = 0;  // of policy_operations()
  double magnitude = 0;
};
std::span<const char* const> policy_operations();
PolicyCall draw(const RandAugment& options, std::int64_t height, std::int64_t width, Draws& draws);
PolicyCall draw(const TrivialAugment& options, Draws& draws);
void apply(const PolicyCall& call, images::Interpolation interpolation, Image& image);

/// Where the pixels of an example go, where nothing else is random about it.
struct Placed {
  std::int64_t example = 0;  // of its data set
  std::int32_t label = 0;
  images::Box cut = {};    // of the picture behind the resize, over whose edges it may reach
  bool mirrored = false;   // left to right, when it is cut
  images::Box zeros = {};  // of the network's input
};

/// An Augmentation at work. Immutable, for several threads.
class Augmenter {
 public:
  /// For a network that takes [channels, height, width]. Throws as check().
  Augmenter(Augmentation augmentation, std::uint64_t seed, const Shape& example);

  struct Example {
    std::int64_t epoch = 0, index = 0;
    std::int64_t again = 0;  // how often the epoch has shown it before
  };
  bool any() const noexcept { return !list_.empty(); }
  bool mixes() const noexcept;
  /// Whether a RandomResizedCrop takes the picture as it is decoded, in place of the resize.
  bool crops_decoded() const noexcept;
  std::int64_t height() const noexcept { return height_; }
  std::int64_t width() const noexcept { return width_; }

  /// The box that a RandomResizedCrop of the list cuts from a picture of this size; none without one.
  std::optional<images::Box> resized_crop(std::int64_t height, std::int64_t width, Example example) const;
  /// Cuts what a PaddingCrop of the list cuts; false without one.
  bool padding_crop(const Image& image, Image& out, Example example) const;
  /// Whether all that it does to a picture is place(): no value changes but to zero, in one box at most.
  bool only_places() const noexcept;
  /// An example whose picture is of this size behind the resize.
  Placed place(std::int64_t height, std::int64_t width, Example example) const;
  /// What is beyond the edges of what place() cuts.
  images::Border border() const noexcept;
  void change(Image& image, Example example) const;
  void change(std::span<float> input, ImageLayout layout, Example example) const;
  /// A whole batch, with its tensors for mixed labels.
  void mix(Batch& batch, std::int64_t epoch, std::int64_t number) const;

 private:
  Draws draws(std::size_t place, Example example) const;
  // What a transform of the list does, if it is of that kind.
  std::optional<images::Box> padding_box(std::int64_t height, std::int64_t width, Example example) const;
  bool mirrors(std::size_t place, Example example) const;
  std::optional<images::Box> zeros(std::size_t place, Example example) const;
  const Transform* first() const noexcept { return list_.empty() ? nullptr : &list_.front(); }

  Augmentation list_;
  std::uint64_t seed_;
  std::int64_t channels_, height_, width_;
};

}  // namespace resnet::data

#include "data/augment.h"

#include <algorithm>
#include <utility>

#include "images/adjust.h"

namespace resnet::data {
namespace {

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;  // clang 14 does not deduce aggregates

void jitter(const ColorJitter& options, Image& image, Draws draws) {
  const Jitter drawn = draw(options, draws);
  for (const int what : drawn.order) {
    const double factor = drawn.factor[static_cast<std::size_t>(what)];
    switch (what) {
      case 0:
        if (options.brightness > 0) images::adjust_brightness(image, factor);
        break;
      case 1:
        if (options.contrast > 0) images::adjust_contrast(image, factor);
        break;
      case 2:
        if (options.saturation > 0) images::adjust_saturation(image, factor);
        break;
      default:
        if (options.hue > 0) images::adjust_hue(image, factor);
    }
  }
}

// Runs of elements that a box of an example covers: function(first element, how many).
template <class Function>
void each_run(const images::Box& box, ImageLayout layout, std::int64_t channels, std::int64_t height,
              std::int64_t width, const Function& function) {
  const bool nhwc = layout == ImageLayout::nhwc;
  const std::int64_t planes = nhwc ? 1 : channels, pixel = nhwc ? channels : 1;
  for (std::int64_t plane = 0; plane < planes; ++plane) {
    for (std::int64_t y = box.top; y < box.top + box.height; ++y) {
      function(((plane * height + y) * width + box.left) * pixel, box.width * pixel);
    }
  }
}

}  // namespace

Augmenter::Augmenter(Augmentation augmentation, std::uint64_t seed, const Shape& example)
    : list_(std::move(augmentation)),
      seed_(seed),
      channels_(example[0]),
      height_(example[1]),
      width_(example[2]) {
  check(list_);
}

bool Augmenter::mixes() const noexcept {
  return !list_.empty() &&
         (std::holds_alternative<MixUp>(list_.back()) || std::holds_alternative<CutMix>(list_.back()));
}

bool Augmenter::crops_decoded() const noexcept {
  return first() != nullptr && std::holds_alternative<RandomResizedCrop>(*first());
}

Draws Augmenter::draws(std::size_t place, Example example) const {
  const std::uint64_t again = static_cast<std::uint64_t>(example.again) << 32U;  // places are few
  return {seed_, stream_id("augment") + again + place, example.epoch, example.index};
}

std::optional<images::Box> Augmenter::resized_crop(std::int64_t height, std::int64_t width,
                                                   Example example) const {
  const auto* options = first() == nullptr ? nullptr : std::get_if<RandomResizedCrop>(first());
  if (options == nullptr) return std::nullopt;
  Draws drawn = draws(0, example);
  return draw(*options, height, width, drawn);
}

std::optional<images::Box> Augmenter::padding_box(std::int64_t height, std::int64_t width,
                                                  Example example) const {
  const auto* options = first() == nullptr ? nullptr : std::get_if<PaddingCrop>(first());
  if (options == nullptr) return std::nullopt;
  if (options->reflect && options->padding >= std::min(height, width)) {
    throw ShapeError("a picture of " + std::to_string(height) + "x" + std::to_string(width) +
                         " pixels has no " + std::to_string(options->padding) + " of them to reflect",
                     "give a smaller padding");
  }
  Draws drawn = draws(0, example);
  return draw(*options, height, width, height_, width_, drawn);
}

images::Border Augmenter::border() const noexcept {
  const auto* options = first() == nullptr ? nullptr : std::get_if<PaddingCrop>(first());
  return options != nullptr && options->reflect ? images::Border::reflect : images::Border::zero;
}

bool Augmenter::padding_crop(const Image& image, Image& out, Example example) const {
  const auto box = padding_box(image.height, image.width, example);
  if (box) images::crop(image, *box, border(), out);
  return box.has_value();
}

bool Augmenter::mirrors(std::size_t place, Example example) const {
  Draws drawn = draws(place, example);
  if (const auto* flip = std::get_if<Flip>(&list_[place])) return drawn.chance(flip->probability);
  if (!std::holds_alternative<AlternatingFlip>(list_[place])) return false;
  Draws own = draws(place, {0, example.index});  // the same in all epochs
  return own.below(2) != (example.epoch + example.again) % 2;
}

std::optional<images::Box> Augmenter::zeros(std::size_t place, Example example) const {
  Draws drawn = draws(place, example);
  if (const auto* erasing = std::get_if<RandomErasing>(&list_[place]))
    return draw(*erasing, height_, width_, drawn);
  if (const auto* cutout = std::get_if<Cutout>(&list_[place])) return draw(*cutout, height_, width_, drawn);
  return std::nullopt;
}

bool Augmenter::only_places() const noexcept {
  const auto is_box = [](const Transform& t) {
    return std::holds_alternative<RandomErasing>(t) || std::holds_alternative<Cutout>(t);
  };
  const auto moves = [](const Transform& t) {
    return std::holds_alternative<PaddingCrop>(t) || std::holds_alternative<Flip>(t) ||
           std::holds_alternative<AlternatingFlip>(t);
  };
  return std::ranges::count_if(list_, is_box) <= 1 &&
         std::ranges::all_of(list_, [&](const Transform& t) { return moves(t) || is_box(t); });
}

Placed Augmenter::place(std::int64_t height, std::int64_t width, Example example) const {
  Placed placed{.example = example.index};
  const auto box = padding_box(height, width, example);
  placed.cut = box ? *box : images::center_box(height, width, height_, width_);
  for (std::size_t i = 0; i < list_.size(); ++i) {
    placed.mirrored = placed.mirrored != mirrors(i, example);
    if (const auto drawn = zeros(i, example)) placed.zeros = *drawn;
  }
  return placed;
}

void Augmenter::change(Image& image, Example example) const {
  for (std::size_t place = 0; place < list_.size(); ++place) {
    if (mirrors(place, example)) images::flip(image);
    Draws drawn = draws(place, example);
    std::visit(
        Overloaded{
            [&](const ColorJitter& o) { jitter(o, image, drawn); },
            [&](const Rotation& o) { images::rotate(image, draw(o, drawn), interpolation_of(o.bilinear)); },
            [&](const RandAugment& o) {
              for (std::int64_t i = 0; i < o.operations; ++i) {
                apply(draw(o, image.height, image.width, drawn), interpolation_of(o.bilinear), image);
              }
            },
            [&](const TrivialAugment& o) { apply(draw(o, drawn), interpolation_of(o.bilinear), image); },
            [](const auto&) {}},
        list_[place]);
  }
}

void Augmenter::change(std::span<float> input, ImageLayout layout, Example example) const {
  for (std::size_t place = 0; place < list_.size(); ++place) {
    const auto box = zeros(place, example);
    if (!box) continue;
    each_run(*box, layout, channels_, height_, width_, [&](std::int64_t begin, std::int64_t count) {
      std::fill_n(input.begin() + begin, count, 0.0F);
    });
  }
}

void Augmenter::mix(Batch& batch, std::int64_t epoch, std::int64_t number) const {
  Draws drawn(seed_, stream_id("augment/batch"), epoch, number);
  const std::size_t kinds =
      list_.size() > 1 && list_[list_.size() - 2].index() >= Transform(MixUp()).index() ? 2 : 1;
  const Transform& chosen =
      list_[list_.size() - 1 - static_cast<std::size_t>(drawn.below(static_cast<std::int64_t>(kinds)))];
  const auto* cut = std::get_if<CutMix>(&chosen);
  const Mixing mixing =
      cut != nullptr ? draw(*cut, height_, width_, drawn) : draw(std::get<MixUp>(chosen), drawn);
  data::mix(batch, mixing);
}

void mix(Batch& batch, const Mixing& mixing) {
  const bool nhwc = batch.layout == ImageLayout::nhwc;
  const Shape& shape = batch.images.shape();
  const std::int64_t n = shape[0], channels = shape[nhwc ? 3 : 1], height = shape[nhwc ? 1 : 2],
                     width = shape[nhwc ? 2 : 3];
  const std::int64_t size = channels * height * width;
  const std::span<float> values = batch.images.values();
  std::vector<float> work(values.end() - size, values.end());  // the example before, as it was
  const auto weight = static_cast<float>(mixing.weight), rest = static_cast<float>(1 - mixing.weight);
  std::vector<float> own(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < n; ++i) {
    float* x = values.data() + i * size;
    std::copy_n(x, size, own.begin());
    if (mixing.cut) {
      each_run(mixing.box, batch.layout, channels, height, width,
               [&](std::int64_t begin, std::int64_t count) {
                 std::copy_n(work.begin() + begin, count, x + begin);
               });
    } else {
      for (std::int64_t k = 0; k < size; ++k) x[k] = work[static_cast<std::size_t>(k)] * rest + x[k] * weight;
    }
    work.swap(own);
  }
  const auto labels = batch.labels.view<std::int32_t>();
  const auto others = batch.mixed_labels.view<std::int32_t>();
  for (std::int64_t i = 0; i < n; ++i) others[i] = labels[(i + n - 1) % n];
  std::ranges::fill(batch.mix.values(), weight);
}

}  // namespace resnet::data

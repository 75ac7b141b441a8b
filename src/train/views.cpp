// Test-time augmentation: outputs averaged over views of each picture.
#include <algorithm>

#include "resnet/train.h"

namespace resnet {
namespace {

// Where a view's pixel comes from, for each of `size` along an axis; beyond the edge is the edge.
std::int64_t source_of(std::int64_t i, std::int64_t size, std::int64_t shift, bool flipped) {
  const std::int64_t place = std::clamp<std::int64_t>(i - shift, 0, size - 1);
  return flipped ? size - 1 - place : place;
}

// The images mirrored, then shifted down and right by `shift` pixels.
Tensor view_of(const ImageView& images, bool flipped, std::int64_t shift) {
  const Shape& s = images.shape;
  const bool nhwc = images.layout == ImageLayout::nhwc;
  const std::int64_t planes = nhwc ? s[0] : s[0] * s[1], inner = nhwc ? s[1] : 1, height = s[2], width = s[3];
  Tensor result(nhwc ? Shape{s[0], s[2], s[3], s[1]} : s);
  float* to = result.values().data();
  for (std::int64_t plane = 0; plane < planes; ++plane) {
    for (std::int64_t h = 0; h < height; ++h) {
      const float* row = images.data + (plane * height + source_of(h, height, shift, false)) * width * inner;
      for (std::int64_t w = 0; w < width; ++w)
        to = std::copy_n(row + source_of(w, width, shift, flipped) * inner, inner, to);
    }
  }
  return result;
}

}  // namespace

Tensor infer(Engine& engine, const ImageView& images, Views views) {
  if (views == Views::one) return engine.infer(images);
  struct View {
    bool flipped;
    std::int64_t shift;
    float weight;
  };
  std::vector<View> list = {{false, 0, 0.5F}, {true, 0, 0.5F}};
  if (views == Views::flip_shift)
    list = {{false, 0, 0.25F}, {true, 0, 0.25F},    {false, 1, 0.125F},
            {true, 1, 0.125F}, {false, -1, 0.125F}, {true, -1, 0.125F}};
  Tensor sum;
  for (const View& view : list) {
    const Tensor shown = view_of(images, view.flipped, view.shift);
    const Tensor outputs =
        engine.infer(images.layout == ImageLayout::nhwc ? ImageView::nhwc(shown.view<float>())
                                                        : ImageView(shown.view<float>()));
    if (sum.empty()) sum = Tensor(outputs.shape());
    for (std::size_t i = 0; i < sum.values().size(); ++i)
      sum.values()[i] += view.weight * outputs.values()[i];
  }
  return sum;
}

}  // namespace resnet

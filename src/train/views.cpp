// Test-time augmentation: outputs averaged over views of each picture.
#include "train/views.h"

#include <algorithm>
#include <utility>

namespace resnet {
namespace train {
namespace {

// Where a view's pixel comes from, for each of `size` along an axis; beyond the edge is the edge.
std::int64_t source_of(std::int64_t i, std::int64_t size, std::int64_t shift, bool mirrored) {
  const std::int64_t place = std::clamp<std::int64_t>(i - shift, 0, size - 1);
  return mirrored ? size - 1 - place : place;
}

}  // namespace

std::vector<TestView> list_of(Views views) {
  if (views == Views::one) return {{}};
  if (views == Views::flip) return {{false, 0, 0.5F}, {true, 0, 0.5F}};
  return {{false, 0, 0.25F}, {true, 0, 0.25F},    {false, 1, 0.125F},
          {true, 1, 0.125F}, {false, -1, 0.125F}, {true, -1, 0.125F}};
}

Tensor view_of(const ImageView& images, const TestView& view) {
  const Shape& s = images.shape;
  const bool nhwc = images.layout == ImageLayout::nhwc;
  const std::int64_t planes = nhwc ? s[0] : s[0] * s[1], inner = nhwc ? s[1] : 1, height = s[2], width = s[3];
  Tensor result(nhwc ? Shape{s[0], s[2], s[3], s[1]} : s);
  float* to = result.values().data();
  for (std::int64_t plane = 0; plane < planes; ++plane) {
    for (std::int64_t h = 0; h < height; ++h) {
      const float* row =
          images.data + (plane * height + source_of(h, height, view.shift, false)) * width * inner;
      for (std::int64_t w = 0; w < width; ++w)
        to = std::copy_n(row + source_of(w, width, view.shift, view.mirrored) * inner, inner, to);
    }
  }
  return result;
}

void add_view(Tensor& sum, Tensor outputs, const TestView& view) {
  if (view.weight == 1) {
    sum = std::move(outputs);
    return;
  }
  if (sum.empty()) sum = Tensor(outputs.shape());
  for (std::size_t i = 0; i < sum.values().size(); ++i) sum.values()[i] += view.weight * outputs.values()[i];
}

}  // namespace train

Tensor infer(Engine& engine, const ImageView& images, Views views) {
  if (views == Views::one) return engine.infer(images);
  Tensor sum;
  for (const train::TestView& view : train::list_of(views)) {
    const Tensor shown = train::view_of(images, view);
    train::add_view(sum, engine.infer(train::in_layout(images.layout, shown)), view);
  }
  return sum;
}

}  // namespace resnet

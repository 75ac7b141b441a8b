// What evaluation shows the network of a batch (resnet::Views).
#pragma once

#include <cstdint>
#include <vector>

#include "resnet/train.h"

namespace resnet::train {

/// The images mirrored, then shifted down and right; the edge is repeated.
struct TestView {
  bool mirrored = false;
  std::int64_t shift = 0;  // pixels
  float weight = 1;        // of its outputs
};
std::vector<TestView> list_of(Views views);

/// In the layout of `images`.
Tensor view_of(const ImageView& images, const TestView& view);
inline ImageView in_layout(ImageLayout layout, const Tensor& shown) {
  return layout == ImageLayout::nhwc ? ImageView::nhwc(shown.view<float>()) : ImageView(shown.view<float>());
}
/// Adds a view's outputs to those of the others, which are empty before the first.
void add_view(Tensor& sum, Tensor outputs, const TestView& view);

}  // namespace resnet::train

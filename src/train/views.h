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

Tensor view_of(const ImageView& images, const TestView& view);
/// Adds a view's outputs to those of the others, which are empty before the first.
void add_view(Tensor& sum, Tensor outputs, const TestView& view);

}  // namespace resnet::train

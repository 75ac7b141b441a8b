// Images in memory that somebody else owns: what engines take and loaders deliver.
#pragma once

#include <cstdint>

#include "resnet/tensor.h"

namespace resnet {

/// How the elements of images lie in memory, outermost axis first.
enum class ImageLayout : std::uint8_t { nchw, nhwc };

/// f32 images [N,C,H,W]. That is their shape in messages and graphs, whichever layout they lie in.
struct ImageView {
  const float* data = nullptr;
  Shape shape;
  ImageLayout layout = ImageLayout::nchw;

  ImageView(const float* elements, const Shape& nchw, ImageLayout its_layout = ImageLayout::nchw)
      : data(elements), shape(nchw), layout(its_layout) {}
  // NOLINTBEGIN(google-explicit-constructor): a tensor in the public layout needs no more words
  ImageView(View<const float> view) : ImageView(view.data, view.shape) {}
  ImageView(View<float> view) : ImageView(View<const float>(view)) {}
  // NOLINTEND(google-explicit-constructor)
  /// Of elements [N,H,W,C]. Throws ShapeError for another number of axes.
  static ImageView nhwc(View<const float> view);
};

}  // namespace resnet

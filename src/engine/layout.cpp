#include "engine/layout.h"

#include <algorithm>

namespace resnet::engine {
namespace {

// to[j][i] = from[i][j]
void transpose(const float* from, float* to, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kTile = 32;  // both sides of a tile stay in L1
  for (std::int64_t i0 = 0; i0 < rows; i0 += kTile) {
    for (std::int64_t j0 = 0; j0 < columns; j0 += kTile) {
      for (std::int64_t i = i0; i < std::min(rows, i0 + kTile); ++i) {
        for (std::int64_t j = j0; j < std::min(columns, j0 + kTile); ++j)
          to[j * rows + i] = from[i * columns + j];
      }
    }
  }
}

// Weights as a matrix: [Co][Ci*Kh*Kw] in the public layout, [Kh*Kw][Ci][Co] behind the plan.
struct WeightExtents {
  std::int64_t co, ci, taps;
};

WeightExtents weight_extents(const Shape& shape) {
  return {shape[0], shape[1], shape.rank() == 4 ? shape[2] * shape[3] : 1};
}

// Calls f(where it lies in the public layout, where behind the plan) for each weight.
template <class F>
void for_each_weight(const Shape& shape, const F& f) {
  const auto [co, ci, taps] = weight_extents(shape);
  constexpr std::int64_t kTile = 16;  // of a tile both sides stay in L1
  for (std::int64_t o0 = 0; o0 < co; o0 += kTile) {
    for (std::int64_t i0 = 0; i0 < ci; i0 += kTile) {
      for (std::int64_t i = i0; i < std::min(ci, i0 + kTile); ++i) {
        for (std::int64_t t = 0; t < taps; ++t) {
          for (std::int64_t o = o0; o < std::min(co, o0 + kTile); ++o)
            f((o * ci + i) * taps + t, (t * ci + i) * co + o);
        }
      }
    }
  }
}

}  // namespace

void state_to_native(StateOrder order, View<const float> from, float* to) {
  if (order == StateOrder::copied) {
    std::copy_n(from.data, from.shape.elements(), to);
    return;
  }
  for_each_weight(from.shape, [&](std::int64_t at, std::int64_t native) { to[native] = from.data[at]; });
}

void state_from_native(StateOrder order, const Shape& shape, const float* from, float* to) {
  if (order == StateOrder::copied) {
    std::copy_n(from, shape.elements(), to);
    return;
  }
  for_each_weight(shape, [&](std::int64_t at, std::int64_t native) { to[at] = from[native]; });
}

void images_to_native(const ImageView& images, float* to, std::int64_t first, std::int64_t last) {
  const Shape& shape = images.shape;
  const std::int64_t image = shape.elements() / std::max<std::int64_t>(1, shape[0]);
  if (image == 0) return;
  const std::int64_t channels = shape.rank() == 4 ? shape[1] : image;
  if (images.layout == ImageLayout::nhwc || channels == 1 || channels == image) {
    std::copy_n(images.data + first * image, (last - first) * image, to + first * image);
    return;
  }
  for (std::int64_t n = first; n < last; ++n) {
    transpose(images.data + n * image, to + n * image, channels, image / channels);
  }
}

void activation_from_native(const Shape& shape, const float* from, float* to, std::int64_t first,
                            std::int64_t last) {
  const std::int64_t image = shape.elements() / std::max<std::int64_t>(1, shape[0]);
  if (image == 0) return;
  const std::int64_t channels = shape.rank() == 4 ? shape[1] : image;
  for (std::int64_t n = first; n < last; ++n) {
    transpose(from + n * image, to + n * image, image / channels, channels);
  }
}

}  // namespace resnet::engine

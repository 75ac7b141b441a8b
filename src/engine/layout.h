// Between the public layouts (NCHW, OIHW, [out,in]) and those behind the plan (NHWC, [kh][kw][ci][co],
// [in][out]).
#pragma once

#include "resnet/image_view.h"
#include "resnet/tensor.h"

namespace resnet::engine {

/// State that nodes read as weights, of four or two axes, and all other, which is copied.
enum class StateOrder : std::uint8_t { copied, weight };

/// A state value of this shape, both ways.
void state_to_native(StateOrder order, View<const float> from, float* to);
void state_from_native(StateOrder order, const Shape& shape, const float* from, float* to);

/// Images [first, last) to NHWC; other ranks than four are copied.
void images_to_native(const ImageView& images, float* to, std::int64_t first, std::int64_t last);
/// An activation of this public shape from NHWC, images [first, last); other ranks are copied.
void activation_from_native(const Shape& shape, const float* from, float* to, std::int64_t first,
                            std::int64_t last);

}  // namespace resnet::engine

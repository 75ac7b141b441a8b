// Between the public layouts (NCHW, OIHW, [out,in]) and those behind the plan (NHWC, [kh][kw][ci][co],
// [in][out]).
#pragma once

#include "resnet/graph.h"
#include "resnet/tensor.h"

namespace resnet::engine {

/// A state value of this shape and role, both ways. Parameters of four and of two axes are weights.
void state_to_native(graph::Role role, View<const float> from, float* to);
void state_from_native(graph::Role role, const Shape& shape, const float* from, float* to);

/// An activation of this public shape: [N,C,H,W] <-> NHWC for images [first, last); other ranks are copied.
void activation_to_native(const Shape& shape, const float* from, float* to, std::int64_t first,
                          std::int64_t last);
void activation_from_native(const Shape& shape, const float* from, float* to, std::int64_t first,
                            std::int64_t last);

}  // namespace resnet::engine

// What the pooling operations share.
#pragma once

#include <vector>

#include "kernels/pool/pool.h"
#include "ops/rules.h"

namespace resnet::ops {

struct PoolWindow {
  Pair kernel = {1, 1}, stride = {1, 1}, padding = {0, 0};  // pixels; padding at most half the kernel
  bool count_padding = true;  // average: divide by the whole window always, as PyTorch's default
  bool ceil_mode = false;     // extents rounded up
};

/// Of a pool of x [N,C,H,W]. Throws ShapeError.
kernels::PoolGeometry pool_geometry(const PoolWindow& window, const Shape& x);

inline Shape pooled_shape(const kernels::PoolGeometry& g) {
  return {g.n, g.c, g.ho(), g.wo()};
}

/// `kernel`, `stride`, `padding`, and `ceil_mode` where it is on, of the text form, both ways.
PoolWindow read_window(graph::AttributeReader& reader);
Attributes window_attributes(const PoolWindow& window);

}  // namespace resnet::ops

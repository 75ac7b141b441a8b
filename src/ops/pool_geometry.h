// What the pooling operations share.
#pragma once

#include "kernels/pool/pool.h"
#include "ops/rules.h"

namespace resnet::ops {

/// `prefix`: "pool_" of the pool that a neighbour carries.
inline kernels::PoolGeometry pool_geometry(const Attributes& attributes, const Shape& x,
                                           const std::string& prefix = "") {
  const Pair kernel = pair_of(attributes, prefix + "kernel", 1);
  const Pair stride = pair_of(attributes, prefix + "stride", 1);
  const Pair padding = pair_of(attributes, prefix + "padding", 0);
  expect(x.rank() == 4 && x.elements() > 0, "expected four extents of at least 1, got " + to_string(x));
  expect(2 * padding.h <= kernel.h && 2 * padding.w <= kernel.w,
         "expected padding of at most half the kernel");
  expect(x[2] + 2 * padding.h >= kernel.h && x[3] + 2 * padding.w >= kernel.w,
         "expected an input at least as large as the window after padding");
  return {.n = x[0],
          .c = x[1],
          .h = x[2],
          .w = x[3],
          .kh = kernel.h,
          .kw = kernel.w,
          .sh = stride.h,
          .sw = stride.w,
          .ph = padding.h,
          .pw = padding.w,
          .count_padding = attributes.integer_or("count_padding", 1) != 0};
}

inline Shape pooled_shape(const kernels::PoolGeometry& g) {
  return {g.n, g.c, g.ho(), g.wo()};
}

/// The attributes of a pool's gradient: the pool's own and the shape of its input.
inline Attributes with_extents(Attributes attributes, const Shape& x) {
  attributes.set("extents", std::vector<std::int64_t>(x.begin(), x.end()));
  return attributes;
}

}  // namespace resnet::ops

// Random pools, for the tests of whatever pools.
#pragma once

#include "kernel_test_support.h"
#include "kernels/pool/pool.h"

namespace resnet::kernels::testing {

/// A pool of at least `least_n` images, otherwise of at most the extents of `most`; padding fits the kernel.
inline PoolGeometry random_pool(Numbers& numbers, Index least_n, const PoolGeometry& most) {
  PoolGeometry g = {.n = numbers.between(least_n, most.n), .c = numbers.between(1, most.c)};
  g.h = numbers.between(1, most.h);
  g.w = numbers.between(1, most.w);
  g.kh = numbers.between(1, std::min(g.h, most.kh));
  g.kw = numbers.between(1, std::min(g.w, most.kw));
  g.sh = numbers.between(1, most.sh);
  g.sw = numbers.between(1, most.sw);
  g.ph = numbers.between(0, g.kh / 2);
  g.pw = numbers.between(0, g.kw / 2);
  g.ceil_mode = numbers.below(2) == 0;
  return g;
}

}  // namespace resnet::kernels::testing

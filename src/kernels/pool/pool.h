// Max and average pooling over windows, and the average over a whole map.
#pragma once

#include <cstdint>
#include <memory>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

struct PoolGeometry {
  std::int64_t n = 1, c = 1, h = 1, w = 1;
  std::int64_t kh = 1, kw = 1, sh = 1, sw = 1, ph = 0, pw = 0;  // 2 * padding <= kernel
  bool count_padding =
      true;  // average: divide by kh*kw always (PyTorch's default), else by the pixels inside

  std::int64_t ho() const noexcept { return (h + 2 * ph - kh) / sh + 1; }
  std::int64_t wo() const noexcept { return (w + 2 * pw - kw) / sw + 1; }
};

/// References in double on [N,C,H,W]. `index` is the place of the maximum in its window,
/// row * kw + column, the first where several are equal (as PyTorch's); its data may be null.
void reference_max_pool(const PoolGeometry& g, View<const double> x, View<double> y, View<double> index);
void reference_max_pool_gradient(const PoolGeometry& g, View<const double> dy, View<const double> index,
                                 View<double> dx);
void reference_avg_pool(const PoolGeometry& g, View<const double> x, View<double> y);
void reference_avg_pool_gradient(const PoolGeometry& g, View<const double> dy, View<double> dx);

/// Type of the native index: u8 while kh*kw <= 256, else i32.
DType max_pool_index_dtype(const PoolGeometry& g);

/// Native kernels on NHWC. Operands:
///   max           x -> y, index (optional)        max gradient  dy, index -> dx
///   avg           x -> y                          avg gradient  dy -> dx
/// The average over a whole map is the case kernel = map; it has its own fast path.
std::unique_ptr<Kernel> make_max_pool(const PoolGeometry& g, Isa isa, DType storage = DType::f32);
std::unique_ptr<Kernel> make_max_pool_gradient(const PoolGeometry& g, Isa isa, DType storage = DType::f32);
std::unique_ptr<Kernel> make_avg_pool(const PoolGeometry& g, Isa isa, DType storage = DType::f32);
std::unique_ptr<Kernel> make_avg_pool_gradient(const PoolGeometry& g, Isa isa, DType storage = DType::f32);

}  // namespace resnet::kernels

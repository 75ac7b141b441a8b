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
  bool count_padding = true;  // average: divide by kh*kw (PyTorch's default), else by the pixels inside
  bool ceil_mode = false;     // extents rounded up; what a window covers behind the padding never counts

  std::int64_t ho() const noexcept { return outputs(h, kh, sh, ph); }
  std::int64_t wo() const noexcept { return outputs(w, kw, sw, pw); }
  /// Pixels of the padded map in the window of output [oh, ow].
  std::int64_t padded_pixels(std::int64_t oh, std::int64_t ow) const noexcept {
    const std::int64_t rows = h + 2 * ph - oh * sh, columns = w + 2 * pw - ow * sw;
    return (rows < kh ? rows : kh) * (columns < kw ? columns : kw);
  }

 private:
  std::int64_t outputs(std::int64_t pixels, std::int64_t kernel, std::int64_t stride,
                       std::int64_t padding) const noexcept {
    if (!ceil_mode) return (pixels + 2 * padding - kernel) / stride + 1;
    const std::int64_t count = (pixels + 2 * padding - kernel + stride - 1) / stride + 1;
    return (count - 1) * stride >= pixels + padding ? count - 1 : count;  // none begins behind the map
  }
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

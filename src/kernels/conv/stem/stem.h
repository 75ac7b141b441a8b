// A convolution whose result only a batch norm and then a max pool read, as in the stem of a residual
// network. Neither the result y nor its gradient is ever stored: y is made, strip by strip, in a task's
// scratch memory, and the gradient of the weights needs none.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "base/machine.h"
#include "kernels/conv/conv.h"
#include "kernels/kernel.h"
#include "kernels/pool/pool.h"

namespace resnet::kernels {

/// A way to compute both as one. Its kernels are on the layouts of kernel.h. x is of type storage.in, what
/// has the pooled shape of storage.out, all else is f32. Where storage.out is bf16, products are of bf16: in
/// the weight gradient of x and the spread dz; in the forward pass of x and w where rows make pairs (conv.h:
/// odd channels and columns of the kernel, an even stride), else they are of f32. Operands:
///   forward          x, w, bias (optional), gamma [co]
///                    -> chosen, index (optional), moments [3][co] (optional)
///                    y = conv(x, w) + bias, rounded to storage.out. Of each window of the pool the y with
///                    the largest gamma * y is chosen: the largest, or where gamma is negative the smallest,
///                    the first where several are equal or gamma is zero; or the last whose product is NaN;
///                    index as in pool.h.
///                    Moments of all y, also of those that no window sees: the mean rounded to f32, what the
///                    rounding left of it, and the biased variance.
///   weight gradient  x, w, bias (optional), dz, index, z (optional), coefficients [4][co] -> dw
///                    The rows of the coefficients are centre, scale_dz, scale_x and constant of
///                        dy = spread(dz) * scale_dz + (y - centre) * scale_x + constant,
///                    with dz at the places that the index names, and only where z > 0 or NaN if there is z.
///                    Here y is not rounded, nor is dy; but w is for y where the forward pass rounds it. dw
///                    is that of conv.h.
/// Sums for the moments are taken about a shift for each channel and strip, and merged in double: the mean is
/// within 1e-6 deviations, the variance within 1e-6 of its value, also where the mean is 1000 deviations. In
/// dw the part of y and the part of the centre are taken apart: its error is that of sums of x * y * scale_x,
/// not of x * (y - centre) * scale_x.
class ConvPoolAlgorithm {
 public:
  virtual ~ConvPoolAlgorithm() = default;

  virtual std::string_view name() const noexcept = 0;
  /// Whether it pays: one group; the pool is of the convolution's result; a few rows of it fit
  /// L2, few of which are made twice; and an element takes few products.
  virtual bool serves(const ConvGeometry& conv, const PoolGeometry& pool) const noexcept = 0;
  /// What the printed plan says of a pass.
  virtual std::string_view reason(ConvPass pass) const noexcept = 0;
  /// Forward or weight gradient: an input gradient has no kernel. Throws ShapeError unless there is one group
  /// and the pool is of the convolution's result.
  virtual std::unique_ptr<Kernel> make(const ConvGeometry& conv, const PoolGeometry& pool, ConvPass pass,
                                       Isa isa, ConvStorage storage = {}) const = 0;

 protected:
  ConvPoolAlgorithm() = default;
  ConvPoolAlgorithm(const ConvPoolAlgorithm&) = default;
  ConvPoolAlgorithm& operator=(const ConvPoolAlgorithm&) = default;
};

std::span<const ConvPoolAlgorithm* const> conv_pool_algorithms() noexcept;

/// The first that serves, or null.
const ConvPoolAlgorithm* choose_conv_pool(const ConvGeometry& conv, const PoolGeometry& pool) noexcept;

}  // namespace resnet::kernels

// A convolution whose result only a batch norm and then a max pool read, as in the stem of a residual
// network. Neither the result y nor its gradient is ever stored: both are made, strip by strip, in a task's
// scratch memory, in the backward pass once more.
#pragma once

#include <memory>

#include "base/machine.h"
#include "kernels/conv/conv.h"
#include "kernels/kernel.h"
#include "kernels/pool/pool.h"

namespace resnet::kernels {

/// Whether that pays: one group; the pool is of the convolution's result; a few rows of it fit the second
/// level, few of which are made twice; and an element takes few enough products that making it again is no
/// dearer than the memory it saves.
bool conv_pool_serves(const ConvGeometry& conv, const PoolGeometry& pool);

/// Native kernels on the layouts of kernel.h. x is of type storage.in, what has the pooled shape of
/// storage.out (as y is before the pool sees it), all else is f32. Operands:
///   forward          x, w, bias (optional), gamma [co] -> chosen, index (optional), moments [3][co]
///                    y = conv(x, w) + bias. Of each window of the pool the y with the largest gamma * y is
///                    chosen: the largest, or where gamma is negative the smallest, the first where several
///                    are equal or gamma is zero; index as in pool.h.
///                    Moments of all y, those that no window sees as well: the mean rounded to f32, what the
///                    rounding left of it, and the biased variance.
///   weight gradient  x, w, bias (optional), dz, index, z (optional), table [4][co] -> dw
///                    The rows of the table are centre, scale_dz, scale_x and constant of
///                    dy = spread(dz) * scale_dz + (y - centre) * scale_x + constant, with dz at the places
///                    that the index names, and only where z > 0 if there is z. dw as of conv.h.
/// Sums for the moments are taken about a shift for each channel and strip, and merged in double: the mean is
/// within 1e-6 deviations, the variance within 1e-6 of its value, also where the mean is 1000 deviations.
///
/// They throw ShapeError unless there is one group and the pool is of the convolution's result.
std::unique_ptr<Kernel> make_conv_pool(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa,
                                       ConvStorage storage = {});
std::unique_ptr<Kernel> make_conv_pool_weight_gradient(const ConvGeometry& conv, const PoolGeometry& pool,
                                                       Isa isa, ConvStorage storage = {});

}  // namespace resnet::kernels

// Geometry of convolutions from graph attributes, and the operations that compute one together with a pool.
#pragma once

#include "kernels/conv/conv.h"
#include "kernels/pool/pool.h"
#include "ops/operation.h"

namespace resnet::ops {

/// Of x [N,Ci,H,W], w [Co,Ci/groups,Kh,Kw] and a conv2d node's attributes.
kernels::ConvGeometry conv_geometry(const Attributes& attributes, const Shape& x, const Shape& w);

/// conv2d_pooled and conv2d_pooled_weight_gradient, where they serve; else null.
const Operation* pooled_forward(const kernels::ConvGeometry& conv, const kernels::PoolGeometry& pool);
const Operation* pooled_weight_gradient(const kernels::ConvGeometry& conv, const kernels::PoolGeometry& pool);

}  // namespace resnet::ops

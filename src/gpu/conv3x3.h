// 3x3 convolutions in bf16 by kernels of our own (device/kernels/conv3x3.h), which also do parts of the batch
// norms beside them.
#pragma once

#include "gpu/rules.h"
#include "kernels/conv/conv.h"
#include "ops/conv2d.h"

namespace resnet::gpu {

/// Whether they compute this pass, with the neighbours that are fused in it.
bool serves_conv3x3(const ops::Conv2d& operation, const Signature& s, const Machine& machine);
bool serves_conv3x3(const ops::Conv2dInputGradient& operation, const Signature& s, const Machine& machine);
bool serves_conv3x3(const ops::Conv2dWeightGradient& operation, const Signature& s, const Machine& machine);

/// Only where they serve.
Lowering conv3x3(const ops::Conv2d& operation, const Signature& s);
Lowering conv3x3(const ops::Conv2dInputGradient& operation, const Signature& s);
Lowering conv3x3(const ops::Conv2dWeightGradient& operation, const Signature& s);

}  // namespace resnet::gpu

// The passes of a convolution by cuDNN, where the table has an engine for them.
#pragma once

#include <optional>
#include <string>

#include "gpu/rules.h"
#include "kernels/conv/conv.h"

namespace resnet::gpu {

/// By cuDNN; or why not, for the reason of the kernel that computes it then: "" where the table has no
/// engine.
struct ByCudnn {
  std::optional<Lowering> lowering = {};
  std::string why_not = {};
};

/// A pass on activations of these types; its operands are those of the operation. `more`: forward, a bias;
/// input gradient, what is added.
ByCudnn by_cudnn(kernels::ConvPass pass, const kernels::ConvGeometry& g, DType in, DType out, bool more,
                 const Machine& machine);

}  // namespace resnet::gpu

// Convolutions of any geometry as one implicit GEMM.
#pragma once

#include <memory>

#include "kernels/conv/conv.h"

namespace resnet::kernels::conv {

const ConvAlgorithm& direct_algorithm() noexcept;

/// Its kernels.
std::unique_ptr<Kernel> make_direct_product(const ConvGeometry& g, ConvPass pass, Isa isa,
                                            ConvStorage storage, const ConvFusion& fusion);
std::unique_ptr<Kernel> make_direct_weight_gradient(const ConvGeometry& g, Isa isa, ConvStorage storage);

}  // namespace resnet::kernels::conv

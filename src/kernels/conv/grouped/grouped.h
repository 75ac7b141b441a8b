// Convolutions of many small groups, as in ResNeXt and depth-wise ones: a vector of output channels is
// several whole groups, or part of one, and the source is spread over its lanes once for all taps
// (docs/decisions/0014-grouped-convolutions.md).
#pragma once

#include <memory>

#include "kernels/conv/conv.h"

namespace resnet::kernels::conv {

const ConvAlgorithm& grouped_algorithm() noexcept;

namespace grouped {

std::unique_ptr<Kernel> make_product(const ConvGeometry& g, ConvPass pass, Isa isa, ConvStorage storage,
                                     const ConvFusion& fusion);
std::unique_ptr<Kernel> make_weight_gradient(const ConvGeometry& g, Isa isa, ConvStorage storage);

}  // namespace grouped
}  // namespace resnet::kernels::conv

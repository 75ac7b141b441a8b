// The kernels of smoothed, weighted and mixed targets; those of plain labels are in loss.cpp.
#pragma once

#include "kernels/loss/loss.h"

namespace resnet::kernels {

std::unique_ptr<Kernel> make_target_cross_entropy(std::int64_t n, std::int64_t classes,
                                                  const CrossEntropyOptions& options, bool mixed);
std::unique_ptr<Kernel> make_target_cross_entropy_gradient(std::int64_t n, std::int64_t classes,
                                                           const CrossEntropyOptions& options, bool mixed);

}  // namespace resnet::kernels

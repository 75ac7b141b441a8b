// The vector sweeps of the updates, each over one chunk.
#pragma once

#include <cstdint>

#include "base/machine.h"

namespace resnet::kernels {

using SgdFunction = void (*)(const float* param, const float* grad, float lr, float* updated,
                             std::int64_t count);
SgdFunction sgd_function(Isa isa);

}  // namespace resnet::kernels

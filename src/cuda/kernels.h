// The kernels by number, as the CUDA runtime launches them.
#pragma once

#include <cstdint>

namespace resnet::cuda {

/// The address by which cudaLaunchKernel knows a kernel of kernels.def.
const void* entry_of(std::uint32_t kernel);

}  // namespace resnet::cuda

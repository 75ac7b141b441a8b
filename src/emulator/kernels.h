// The kernels of kernels.def as functions of the host.
#pragma once

#include "device/kernels.h"

namespace resnet::emulator {

/// Calls a kernel for the thread that runs now.
using Function = void (*)(const void* args);
Function function_of(device::KernelId id);

}  // namespace resnet::emulator

// The emulated device with a cuDNN: the fake one, through the code that loads the real one.
#pragma once

#include "device/api.h"

namespace resnet::test {

/// The functions of an emulated card of compute capability 9.0.
const resnet_device_api& device_with_cudnn();
/// Handles and descriptors of the fake cuDNN that are not destroyed yet.
int live_in_cudnn();

}  // namespace resnet::test

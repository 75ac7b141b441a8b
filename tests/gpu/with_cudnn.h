// The emulated device with a cuDNN: the fake one, through the code that loads the real one.
#pragma once

#include <optional>

#include "device/api.h"

namespace resnet::test {

/// The functions of an emulated card of compute capability 9.0.
const resnet_device_api& device_with_cudnn();
/// A device with cuDNN for the tests of operations.
struct CudnnDevice {
  const resnet_device_api* api;
  int architecture;
  bool real;  // not the fake one
};
/// In place of the emulated device the one above; of a card, where tests run on one, its own. None: it has
/// none.
std::optional<CudnnDevice> cudnn_in_place_of(const resnet_device_api& tested);

/// Handles and descriptors of the fake cuDNN that are not destroyed yet.
int live_in_cudnn();

}  // namespace resnet::test

// The device that these tests run on.
#pragma once

#include <string>

#include "emulator/emulator.h"
#include "gpu/plugin.h"
#include "resnet/error.h"

namespace resnet::test {

/// The emulated one; or, where RESNET_CUDA_PLUGIN names a plugin, its device 0: the tests of an emulated
/// device are those of a card.
inline const resnet_device_api& tested_device() {
  static const gpu::Plugin kPlugin = [] {
    if (gpu::default_search().paths.size() != 1) return gpu::Plugin{.api = &emulator::api()};
    gpu::Plugin plugin = gpu::load_plugin();
    if (plugin.api == nullptr) throw Error(plugin.why, plugin.hint);
    return plugin;
  }();
  return *kPlugin.api;
}

}  // namespace resnet::test

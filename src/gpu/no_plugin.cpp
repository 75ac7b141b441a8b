// In the place of plugin.cpp in a static program, which can load nothing.
#include "gpu/plugin.h"
#include "resnet/device.h"

namespace resnet::gpu {

PluginSearch default_search() {
  return {};
}

Plugin load_plugin(const PluginSearch&) {
  return {.why = DeviceInfo::kNoPlugins,
          .hint = "take the program that is linked with libraries, or compute on the CPU"};
}

}  // namespace resnet::gpu

// The plugin for GPUs, libresnet_cuda.so: looked for and loaded at run time, never linked.
#pragma once

#include <string>
#include <vector>

#include "device/api.h"

namespace resnet::gpu {

/// Where to look. Tests look elsewhere.
struct PluginSearch {
  std::string driver = "libcuda.so.1";  // without it no plugin is looked for
  std::vector<std::string> paths =
      {};  // in this order; a name without a slash is looked for as libraries are
};
/// RESNET_CUDA_PLUGIN alone where that is set; else the folder of the program, lib/resnet beside that folder,
/// and the loader's path.
PluginSearch default_search();

/// What was found: functions, or why there are none.
struct Plugin {
  const resnet_device_api* api = nullptr;
  std::string why = {};     // "no NVIDIA driver"
  std::string detail = {};  // what the system says of that, if anything: "libcuda.so.1: cannot open ..."
  std::string hint = {};
};
/// Loads a plugin; it stays loaded until the process ends. A plugin of another version or of other kernels is
/// refused. Calls no function of its device: whether there is one, Device tells.
Plugin load_plugin(const PluginSearch& search = default_search());

}  // namespace resnet::gpu

// A plugin for GPUs without a GPU: of this version, of an older one, or giving nothing, as RESNET_FAKE_PLUGIN
// says.
#include <cstdlib>
#include <cstring>

#include "device/api.h"
#include "device/kernels.h"

namespace {

const char* error() {
  return "no CUDA-capable device is detected (cudaErrorNoDevice)";
}
int count(std::int32_t* devices) {
  *devices = 0;
  return 100;
}

}  // namespace

extern "C" const resnet_device_api* resnet_device() {
  static resnet_device_api api = {};
  api.version = RESNET_DEVICE_API_VERSION;
  api.bytes = sizeof api;
  api.kernels = resnet::device::kernels_hash();
  api.name = "fake";
  api.error = &error;
  api.count = &count;
  const char* const kind = std::getenv("RESNET_FAKE_PLUGIN");
  if (std::strcmp(kind, "none") == 0) return nullptr;
  if (std::strcmp(kind, "old") == 0) --api.version;
  return &api;
}

#include "resnet/device.h"

namespace resnet {

std::string to_string(const DeviceInfo& device) {
  const std::string& more = device.kind == "cpu" ? device.reason : device.name;
  return more.empty() ? device.kind : device.kind + " (" + more + ")";
}

}  // namespace resnet

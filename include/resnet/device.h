// What computes: a processor, or a GPU beside it.
#pragma once

#include <string>

#include "resnet/error.h"

namespace resnet {

/// What an engine runs on, for reports.
struct DeviceInfo {
  static constexpr const char* kNoDriver = "no NVIDIA driver";
  static constexpr const char* kNoPlugins = "a static program loads no plugin for GPUs";
  std::string kind;    // "cpu", "cuda:0"
  std::string name;    // of the processor or the GPU, as it calls itself
  std::string target;  // what its code is compiled for: an instruction set, an architecture ("sm_90");
                       // "reference"
  int threads = 1;     // of the processor
  std::string threads_from = {};  // what decided their number: "given", "OMP_NUM_THREADS", "control group"
                                  // (its quota), "affinity" or "cores"; "" where it is always the same
  std::string reason = {};        // why EngineOptions::device "auto" took the processor: "no NVIDIA driver"
  std::string libraries = {};     // on which its last bits may depend, with their versions: "CUDA 13.0"
  std::string note = {};          // one line that the user should be told once, else ""
};

/// "cuda:0 (NVIDIA H100 80GB HBM3)", "cpu (no NVIDIA driver)", "cpu".
std::string to_string(const DeviceInfo& device);

/// A device beside the processor that fails, or that another process has. What it held is lost.
class DeviceError : public Error {
 public:
  explicit DeviceError(const std::string& what, const std::string& hint = {})
      : Error(what, hint, "see whether the device is well and free of other work, or compute on the CPU") {}
};

}  // namespace resnet

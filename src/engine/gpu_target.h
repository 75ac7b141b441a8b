// What an engine of GPUs computes with: its target, and the libraries that this takes.
#pragma once

#include <string>

#include "gpu/device.h"
#include "gpu/target.h"
#include "resnet/engine.h"

namespace resnet::engine {

gpu::Target target_of(const EngineOptions& options, gpu::Cudnn cudnn);
/// What a target may take of a device's cuDNN, which is not loaded where all is exact. The device outlives
/// it.
gpu::Cudnn cudnn_of(gpu::Device& device, const EngineOptions& options);
/// On what the bits of a device's results may depend.
std::string libraries_of(const gpu::Device& device);
/// DeviceInfo::note.
std::string note_of(const gpu::Device& device);

}  // namespace resnet::engine

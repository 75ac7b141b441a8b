// What an engine of GPUs computes with: its target, and the libraries that this takes.
#pragma once

#include "engine/native_options.h"
#include "gpu/device.h"
#include "gpu/target.h"
#include "resnet/engine.h"

namespace resnet::engine {

gpu::Target target_of(const EngineOptions& options, gpu::Cudnn cudnn);
/// What a target may take of a device's cuDNN, which is not loaded where all is exact. The device outlives
/// it.
gpu::Cudnn cudnn_of(gpu::Device& device, const EngineOptions& options);
/// The device, with the threads of the host, the libraries on which its bits may depend, and DeviceInfo::note.
DeviceInfo gpu_device(const gpu::Device& device, const ThreadCount& threads);

}  // namespace resnet::engine

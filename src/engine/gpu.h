// The engine of GPUs: graph -> plan -> launches on a device.
#pragma once

#include <memory>
#include <string>

#include "device/api.h"
#include "gpu/target.h"
#include "resnet/engine.h"

namespace resnet::engine {

/// On device `number` of these functions, which outlive it, whatever EngineOptions::device says. Of the
/// options it takes precision, threads, seed, memory (of the host), fusion, optimiser and loss.
std::unique_ptr<PlannedEngine> make_gpu_engine(Network network, const EngineOptions& options,
                                               const resnet_device_api& api, int number);
/// The state of this one stays.
std::unique_ptr<PlannedEngine> make_gpu_inference_engine(Network network, const EngineOptions& options,
                                                         const resnet_device_api& api, int number);

/// What plan_text() of such an engine gives, on a machine without a device. `cudnn`: {90} where the card is
/// of compute capability 9.0 and has a cuDNN that makes all plans of the table.
std::string gpu_plan_text(Network network, const EngineOptions& options, const Shape& images, Mode mode,
                          gpu::Cudnn cudnn = {});

}  // namespace resnet::engine

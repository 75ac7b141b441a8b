// The engine of GPUs: graph -> plan -> launches on a device.
#pragma once

#include <memory>
#include <string>

#include "device/api.h"
#include "gpu/target.h"
#include "resnet/engine.h"

namespace resnet::engine {

/// On device `number` of these functions, which outlive it. Of the options it takes precision, seed, fusion,
/// optimiser and loss. `products`: how it multiplies where Precision is f32. A child of fork() may not use
/// it. Throws Error where the device fails; its state is lost then.
std::unique_ptr<PlannedEngine> make_gpu_engine(Network network, const EngineOptions& options,
                                               const resnet_device_api& api, int number = 0,
                                               gpu::Products products = gpu::Products::f32);

/// What plan_text() of such an engine gives, on a machine without a device.
std::string gpu_plan_text(Network network, const EngineOptions& options, const Shape& images, Mode mode,
                          gpu::Products products = gpu::Products::f32);

}  // namespace resnet::engine

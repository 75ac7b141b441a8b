// What an engine's device can do at most, measured.
#pragma once

#include "bench/bench.h"

namespace resnet::bench {

/// GFLOP/s of this precision.
double peak_of(const DeviceInfo& device, Precision precision);
/// GB/s.
double memory_of(const DeviceInfo& device);

}  // namespace resnet::bench

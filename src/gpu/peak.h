// What a device can do at most, measured beside every speed: its clock moves with its temperature and its
// neighbours.
#pragma once

#include <cstdint>

#include "gpu/device.h"

namespace resnet::gpu {

/// Of the products: FFMA in f32, or the tensor cores by mma.sync (on sm_90 wgmma, which no kernel uses yet,
/// reaches some 1.6 times as much).
enum class Units : std::uint8_t { ffma, tf32, bf16 };

/// Products and sums on registers alone, GFLOP/s: best of a few tries of five milliseconds and more.
double peak_gflops(Device& device, Units units);

/// Two arrays added into a third (two read, one written), and one copied into another, GB/s: best of a few
/// tries. The arrays are as large as takes five milliseconds, 1 GiB at most: far larger than caches.
double memory_gbytes(Device& device);
double copy_gbytes(Device& device);

/// Asks for some milliseconds of work, behind which what is asked for meanwhile waits: what each part of it
/// takes can then be measured, and not how fast it was asked for. The memory is needed until that is done.
Memory keep_busy(Device& device);

}  // namespace resnet::gpu

// What the machine can do at most: multiply-adds on registers alone. Measured beside every speed,
// because the clock of a shared machine moves.
#pragma once

#include <cstdint>
#include <memory>

#include "base/machine.h"
#include "kernels/kernel.h"

namespace resnet::kernels {

/// No operands. Each task does peak_flops_per_task() of f32 multiply-adds, a few milliseconds.
std::unique_ptr<Kernel> make_peak(std::int64_t tasks, Isa isa);
double peak_flops_per_task(Isa isa);

}  // namespace resnet::kernels

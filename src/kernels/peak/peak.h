// What the machine can do at most: multiply-adds on registers alone. Measured beside every speed,
// because the clock of a shared machine moves.
#pragma once

#include <cstdint>
#include <memory>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

/// No operands. Each task does peak_flops_per_task() of multiply-adds, a few milliseconds. Their products are
/// of `type`, f32 or bf16, their sums f32.
std::unique_ptr<Kernel> make_peak(std::int64_t tasks, Isa isa, DType type);
double peak_flops_per_task(Isa isa, DType type);

}  // namespace resnet::kernels

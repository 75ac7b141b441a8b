#pragma once

#include <cstdint>

#include "base/machine.h"

namespace resnet::kernels {

struct PeakFunctions {
  float (*multiply_adds)(std::int64_t rounds);  // kPeakChains vectors a round
  std::int64_t products;                        // of a vector
};

// Independent chains: two units, four cycles of latency each, and some to spare.
inline constexpr std::int64_t kPeakChains = 12;

const PeakFunctions& peak_functions(Isa isa);
/// Of bf16.
const PeakFunctions& peak_functions_bf16();

}  // namespace resnet::kernels

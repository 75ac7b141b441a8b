// Which random numbers a dropout layer draws, for the reference and the native kernel alike.
#pragma once

#include <cstdint>

#include "base/random.h"

namespace resnet::kernels {

/// The stream of (layer, step): the step is spread over 64 bits by an odd factor, joined to the layer,
/// and both are mixed, so that neighbouring steps and layers share no counters.
/// Source of the mixer: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
inline RandomStream dropout_stream(std::uint64_t layer, std::int64_t seed, std::int64_t step) {
  std::uint64_t mixed = layer ^ (static_cast<std::uint64_t>(step) * 0x9E3779B97F4A7C15ULL);
  mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBULL;
  return {static_cast<std::uint64_t>(seed), mixed ^ (mixed >> 31U)};
}

}  // namespace resnet::kernels

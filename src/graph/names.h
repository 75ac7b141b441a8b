// Names of a network's inputs and outputs, as graphs and model files have them.
#pragma once

#include <string_view>

namespace resnet::graph {

inline constexpr const char* kImages = "images";       // input, f32 [N,C,H,W]
inline constexpr const char* kOutput = "output";       // what the network gives
inline constexpr const char* kSeedStep = "seed_step";  // input of dropout, i64 {seed, number of the step}

/// Names of state that engines keep beside the network's begin so.
inline constexpr const char* kEngineState = "engine/";      // counts of steps and updates
inline constexpr const char* kGradientState = "gradient/";  // gradients, by parameter
inline constexpr const char* kSlotState = "optimizer/";  // what an optimiser remembers, by slot and parameter
inline bool is_reserved(std::string_view name) {
  return name.starts_with(kEngineState) || name.starts_with(kGradientState) || name.starts_with(kSlotState);
}

}  // namespace resnet::graph

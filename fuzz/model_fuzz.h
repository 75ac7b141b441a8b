// The fuzzer of model files, for the drivers.
#pragma once

#include <cstdint>
#include <span>

namespace resnet::fuzz {

/// Makes a model file of the bytes and does with it what model_fuzz.cpp says; gives whether it was accepted.
/// Aborts with what was found.
bool run_one(std::span<const std::uint8_t> bytes);

}  // namespace resnet::fuzz

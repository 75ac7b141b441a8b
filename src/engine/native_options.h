// What the options of the engines that compile mean on this machine.
#pragma once

#include <cstddef>
#include <string>

#include "base/cores.h"
#include "base/machine.h"
#include "resnet/engine.h"

namespace resnet::engine {

/// What an engine keeps compiled; said in resnet/engine.h.
inline constexpr std::size_t kMostPlans = 16;

/// The level to compile for. Throws ConfigError if this machine has it not.
Isa isa_of(const EngineOptions& options);

/// The threads of a call. Throws ConfigError.
ThreadCount threads_of(const EngineOptions& options);

/// The processor with what is chosen of it, and DeviceInfo::reason.
DeviceInfo cpu_device(Isa isa, const ThreadCount& threads, const std::string& reason);

}  // namespace resnet::engine

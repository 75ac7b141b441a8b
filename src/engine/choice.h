// Which device an engine computes on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gpu/plugin.h"
#include "resnet/engine.h"

namespace resnet::engine {

/// What EngineOptions::device may say.
struct DeviceName {
  enum class Kind : std::uint8_t { automatic, cpu, cuda };
  Kind kind = Kind::automatic;
  int number = 0;        // of a GPU
  int architecture = 0;  // 90 of "cuda:sm_90", which plans alone can be made for; 0: none is named
};
/// None for a text that names no device.
std::optional<DeviceName> device_named(std::string_view text);

/// A device of this machine.
struct Choice {
  const resnet_device_api* api = nullptr;  // of a GPU; null: the processor
  int number = 0;                          // of the GPU
  bool automatic = false;                  // nobody asked for this one
  std::string reason = {};                 // DeviceInfo::reason
};
/// What the options choose. Throws as check(EngineOptions).
Choice choose_device(const EngineOptions& options, const gpu::PluginSearch& search = gpu::default_search());

/// As make_engine(), with a plugin that is looked for elsewhere.
std::unique_ptr<PlannedEngine> make_chosen_engine(Network network, const EngineOptions& options,
                                                  const gpu::PluginSearch& search);

/// Throws MemoryError where a device's own memory has less than `bytes` left for `what`.
void require_device_memory(const PlannedEngine& engine, std::int64_t bytes, const std::string& what,
                           const std::string& hint = {});

/// Of check(EngineOptions), what concerns the processor. `reason`: why it is not a GPU.
void check_cpu(const EngineOptions& options, const std::string& reason = {});
/// The engines of the processor, with this DeviceInfo::reason.
std::unique_ptr<PlannedEngine> make_cpu_engine(Network network, const EngineOptions& options,
                                               std::string reason);
std::unique_ptr<PlannedEngine> make_cpu_inference_engine(Network network, const EngineOptions& options,
                                                         std::string reason);

}  // namespace resnet::engine

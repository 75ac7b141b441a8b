#include "engine/choice.h"

#include <charconv>
#include <utility>

#include "base/memory.h"
#include "device/api.h"
#include "engine/ahead.h"
#include "engine/gpu.h"
#include "gpu/device.h"
#include "gpu/target.h"
#include "graph/names.h"

namespace resnet {
namespace engine {
namespace {

// The first GPU from `number` on that can be used; else the processor. With why the first of all was not.
Choice first_device(const resnet_device_api& api, int number = 0, std::string reason = {}) {
  try {
    const int count = gpu::count_devices(api);
    for (; number < count; ++number) {
      try {
        const gpu::Device device(api, number);
        return {.api = &api, .number = number, .automatic = true, .reason = std::move(reason)};
      } catch (const Error& error) {
        if (reason.empty()) reason = error.what();
      }
    }
  } catch (const Error& error) {
    if (reason.empty()) reason = error.what();
  }
  return {.reason = std::move(reason)};
}

using OnGpu = std::unique_ptr<PlannedEngine> (*)(Network, const EngineOptions&, const resnet_device_api&,
                                                 int);
using OnCpu = std::unique_ptr<PlannedEngine> (*)(Network, const EngineOptions&, std::string);

// An engine of this GPU with the memory for images as the network was traced for.
std::unique_ptr<PlannedEngine> tried(const Choice& choice, const Network& network,
                                     const EngineOptions& options, OnGpu on_gpu) {
  auto engine = on_gpu(network, options, *choice.api, choice.number);
  const Shape& images = network.eval.value(network.eval.input(graph::kImages)).type.shape;
  const Work work = network.train ? Work::step : Work::infer;
  const auto* const ahead = dynamic_cast<const AheadEngine*>(engine.get());
  const std::int64_t batches = images.elements() * std::int64_t{sizeof(float)} * (ahead ? ahead->depth() : 1);
  require_device_memory(*engine, engine->planned_bytes(images, work).total() + batches,
                        "work on images " + to_string(images));
  return engine;
}

std::unique_ptr<PlannedEngine> make_on_device(Network network, const EngineOptions& options,
                                              const gpu::PluginSearch& search, OnGpu on_gpu, OnCpu on_cpu) {
  Choice choice = choose_device(options, search);
  if (choice.api != nullptr && !choice.automatic)
    return on_gpu(std::move(network), options, *choice.api, choice.number);
  while (choice.api != nullptr) {
    std::string why;
    try {
      return tried(choice, network, options, on_gpu);
    } catch (const DeviceError& error) {
      why = error.what();
    } catch (const MemoryError& error) {
      why = error.what();
    } catch (const gpu::BeyondKernels& error) {
      why = error.what();
    }
    choice = first_device(*choice.api, choice.number + 1, choice.reason.empty() ? why : choice.reason);
  }
  return on_cpu(std::move(network), options, std::move(choice.reason));
}

}  // namespace

std::optional<DeviceName> device_named(std::string_view text) {
  using Kind = DeviceName::Kind;
  if (text == "auto") return DeviceName{Kind::automatic};
  if (text == "cpu") return DeviceName{Kind::cpu};
  if (text == "cuda") return DeviceName{Kind::cuda};
  constexpr std::string_view kNumbered = "cuda:", kArchitecture = "sm_";
  if (!text.starts_with(kNumbered)) return std::nullopt;
  text.remove_prefix(kNumbered.size());
  const bool architecture = text.starts_with(kArchitecture);
  if (architecture) text.remove_prefix(kArchitecture.size());
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  constexpr unsigned kMost = 1000;
  if (error != std::errc() || end != text.data() + text.size() || number >= kMost ||
      (architecture && number < RESNET_LEAST_ARCHITECTURE)) {
    return std::nullopt;
  }
  DeviceName name{Kind::cuda};
  (architecture ? name.architecture : name.number) = static_cast<int>(number);
  return name;
}

Choice choose_device(const EngineOptions& options, const gpu::PluginSearch& search) {
  const std::optional<DeviceName> name = device_named(options.device);
  if (!name || name->architecture != 0) {
    throw ConfigError("EngineOptions::device cannot be '" + options.device + "'",
                      name ? "that names an architecture, for plans alone: give cuda or cuda:0"
                           : "give auto, cpu, cuda, or a GPU by its number, as cuda:0");
  }
  if (name->kind == DeviceName::Kind::cpu) return {};
  const bool automatic = name->kind == DeviceName::Kind::automatic;
  if (!options.isa.empty()) {
    if (automatic) return {.reason = "EngineOptions::isa names an instruction set of the processor"};
    throw ConfigError(
        "EngineOptions::isa is of the processor, and EngineOptions::device is " + options.device,
        "leave one of them out");
  }
  const gpu::Plugin plugin = gpu::load_plugin(search);
  if (plugin.api == nullptr) {
    if (automatic) return {.reason = plugin.why};
    throw ConfigError("EngineOptions::device " + options.device + ": " + plugin.why +
                          (plugin.detail.empty() ? "" : " (" + plugin.detail + ")"),
                      plugin.hint);
  }
  if (automatic) return first_device(*plugin.api);
  const gpu::Device device(*plugin.api, name->number);  // throws where it cannot be used
  return {.api = plugin.api, .number = name->number};
}

void require_device_memory(const PlannedEngine& engine, std::int64_t bytes, const std::string& what,
                           const std::string& hint) {
  const std::optional<std::int64_t> left = engine.device_memory_left();
  if (!left || bytes <= *left) return;
  throw MemoryError(engine.device().kind + " has " + bytes_text(*left) + " of memory left, and " + what +
                        " needs " + bytes_text(bytes),
                    hint);
}

std::unique_ptr<PlannedEngine> make_chosen_engine(Network network, const EngineOptions& options,
                                                  const gpu::PluginSearch& search) {
  return make_on_device(std::move(network), options, search, make_gpu_engine, make_cpu_engine);
}

}  // namespace engine

void check(const EngineOptions& options) {
  check(options.loss);
  const engine::Choice choice = engine::choose_device(options);
  if (choice.api == nullptr) engine::check_cpu(options, choice.reason);
}

std::unique_ptr<PlannedEngine> make_engine(Network network, const EngineOptions& options) {
  return engine::make_chosen_engine(std::move(network), options, gpu::default_search());
}

std::unique_ptr<PlannedEngine> make_inference_engine(Network network, const EngineOptions& options) {
  return engine::make_on_device(std::move(network), options, gpu::default_search(),
                                engine::make_gpu_inference_engine, engine::make_cpu_inference_engine);
}

}  // namespace resnet

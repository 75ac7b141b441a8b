#include "gpu/device.h"

#include <fmt/format.h>
#include <unistd.h>

#include "resnet/error.h"
#include "resnet/memory.h"

namespace resnet::gpu {

bool fits(const resnet_device_api* api) noexcept {
  return api != nullptr && api->version == RESNET_DEVICE_API_VERSION &&
         api->bytes == sizeof(resnet_device_api) && api->kernels == device::kernels_hash();
}

Device::Device(const resnet_device_api& api, int number) : api_(api), number_(number), process_(getpid()) {
  if (!fits(&api)) {
    throw ConfigError("the plugin for GPUs is of another version than this library",
                      "build both of one source, or take both from one package");
  }
  std::int32_t count = 0;
  expect(api.count(&count), "looking for devices");
  if (number < 0 || number >= count) {
    throw ConfigError(
        fmt::format("there is no device {}:{}", api.name, number),
        count == 0 ? "there is none" : fmt::format("use {}:0 to {}:{}", api.name, api.name, count - 1));
  }
  expect(api.use(number), "taking the device");
  expect(api.facts(number, &facts_), "asking for the device's facts");
  expect(api.make_stream(&stream_), "making a stream");
}

Device::~Device() {
  if (getpid() == process_) api_.end_stream(stream_);
}

std::string Device::name() const {
  return fmt::format("{}:{}", api_.name, number_);
}

void Device::expect(int status, const char* what) const {
  if (status == 0) return;
  throw Error(fmt::format("{} failed while {}: {}", name(), what, api_.error()),
              "see whether the device is well and free of other work, or compute on the CPU");
}

void Device::expect_own_process() const {
  if (getpid() != process_) {
    throw Error("a child of fork() cannot use " + name() + ", which its parent has opened",
                "make the engine in the process that uses it");
  }
}

void* Device::allocate(std::int64_t bytes) {
  expect_own_process();
  void* memory = nullptr;
  expect(api_.use(number_), "taking the device");
  if (api_.allocate(static_cast<std::uint64_t>(bytes), &memory) != 0) {
    throw MemoryError(fmt::format("{} has no {:.0f} MiB of memory left: {}", name(),
                                  static_cast<double>(bytes) / (1024 * 1024), api_.error()));
  }
  return memory;
}

void Device::copy(void* to, const void* from, std::int64_t bytes) {
  expect_own_process();
  if (bytes > 0) expect(api_.copy(stream_, to, from, static_cast<std::uint64_t>(bytes)), "copying");
}

void Device::fill(void* memory, int byte, std::int64_t bytes) {
  if (bytes > 0)
    expect(api_.fill(stream_, memory, byte, static_cast<std::uint64_t>(bytes)), "filling memory");
}

void Device::launch(const Launch& launch) {
  const resnet_launch given{static_cast<std::uint32_t>(launch.kernel), launch.blocks, launch.shared_bytes,
                            static_cast<std::uint32_t>(device::facts_of(launch.kernel).args_bytes),
                            launch.args.data()};
  expect(api_.launch(stream_, &given), "computing");
}

void Device::synchronize() {
  expect(api_.synchronize(stream_), "computing");
}

void Device::begin_capture() {
  expect_own_process();
  expect(api_.use(number_), "taking the device");
  expect(api_.begin_capture(stream_), "capturing a graph");
}

Device::Graph Device::end_capture() {
  resnet_graph* graph = nullptr;
  expect(api_.end_capture(stream_, &graph), "capturing a graph");
  return {graph, api_.end_graph};
}

void Device::launch(const Graph& graph) {
  expect_own_process();
  expect(api_.launch_graph(stream_, graph.get()), "computing");
}

}  // namespace resnet::gpu

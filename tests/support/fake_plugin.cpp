// A plugin for GPUs without a GPU: the emulated device as cuda:0, cuda:1... What is wrong with it stands in
// RESNET_FAKE_PLUGIN, words with commas between:
//   null, version, kernels   it does not fit the program
//   none, old-driver         what counting the devices gives
//   devices=N, busy=N        so many; number N is another process's
//   architecture=N           75 is 7.5
//   memory=BYTES, memoryN=BYTES   of any device, of number N
//   cudnn=V                  of that version, which has no engine for any convolution
//   lost=N                   it fails for good after so many graphs of a process
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "device/api.h"
#include "emulator/emulator.h"

namespace {

const resnet_device_api& emulated() {
  return resnet::emulator::api();
}

// What stands behind `word`: "" where that is all of it, null where it is not there.
const char* found(std::string_view word) {
  const char* faults = std::getenv("RESNET_FAKE_PLUGIN");
  for (; faults != nullptr; faults = std::strchr(faults, ',')) {
    if (*faults == ',') ++faults;
    const std::string_view rest(faults);
    if (!rest.starts_with(word)) continue;
    const std::string_view behind = rest.substr(word.size());
    if (behind.empty() || behind[0] == ',') return "";
    if (behind[0] == '=') return behind.data() + 1;
  }
  return nullptr;
}
std::int64_t number(std::string_view word, std::int64_t otherwise) {
  const char* const text = found(word);
  return text == nullptr ? otherwise : std::strtoll(text, nullptr, 10);
}

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

thread_local std::string own_error;
bool lost = false;
std::int64_t graphs = 0;

std::mutex guard;  // of what follows
std::map<void*, std::int64_t> taken;
std::int64_t bytes_taken = 0;
thread_local std::int32_t in_use = 0;

std::int64_t memory_of(std::int32_t device, std::int64_t otherwise) {
  return number("memory" + std::to_string(device), number("memory", otherwise));
}

int fails(int status, const char* message) {
  own_error = message;
  return status;
}
int fails_for_good() {
  return fails(RESNET_DEVICE_FAILED, "the GPU has fallen off the bus (cudaErrorUnknown)");
}

const char* error() {
  return own_error.empty() ? emulated().error() : own_error.c_str();
}
int count(std::int32_t* devices) {
  if (found("none") != nullptr)
    return fails(RESNET_DEVICE_NONE, "no CUDA-capable device is detected (cudaErrorNoDevice)");
  if (found("old-driver") != nullptr)
    return fails(RESNET_DEVICE_OLD_DRIVER,
                 "CUDA driver version is insufficient for CUDA runtime version "
                 "(cudaErrorInsufficientDriver)");
  *devices = static_cast<std::int32_t>(number("devices", 1));
  return RESNET_DEVICE_DONE;
}
int facts(std::int32_t device, resnet_device_facts* facts) {
  if (const int status = emulated().facts(0, facts)) return status;
  std::snprintf(facts->name, sizeof facts->name, "Emulated GPU %d", static_cast<int>(device));
  facts->architecture = static_cast<std::int32_t>(number("architecture", 90));
  facts->memory_bytes = memory_of(device, std::int64_t{1} << 40);
  const std::lock_guard lock(guard);
  facts->free_bytes = facts->memory_bytes - bytes_taken;
  facts->driver = static_cast<std::int32_t>(number("driver", 13010));
  facts->runtime = 13000;
  return RESNET_DEVICE_DONE;
}
int use(std::int32_t device) {
  in_use = device;
  if (number("busy", -1) != device) return RESNET_DEVICE_DONE;
  return fails(RESNET_DEVICE_BUSY,
               "all CUDA-capable devices are busy or unavailable (cudaErrorDevicesUnavailable)");
}
int allocate(std::uint64_t bytes, void** memory) {
  const std::lock_guard lock(guard);
  const auto size = static_cast<std::int64_t>(bytes);
  if (size > memory_of(in_use, kMost) - bytes_taken)
    return fails(RESNET_DEVICE_NO_MEMORY, "out of memory (cudaErrorMemoryAllocation)");
  const int status = emulated().allocate(bytes, memory);
  if (status != RESNET_DEVICE_DONE) return status;
  taken[*memory] = size;
  bytes_taken += size;
  return status;
}
void release(void* memory) {
  const std::lock_guard lock(guard);
  bytes_taken -= taken[memory];
  taken.erase(memory);
  emulated().release(memory);
}
int library(std::int32_t* version) {
  *version = static_cast<std::int32_t>(number("cudnn", 0));
  return *version > 0 ? RESNET_DEVICE_DONE : emulated().library(version);
}
int synchronize(resnet_stream* stream) {
  return lost ? fails_for_good() : emulated().synchronize(stream);
}
int wait(resnet_event* event) {
  return lost ? fails_for_good() : emulated().wait(event);
}
int copy(resnet_stream* stream, void* to, const void* from, std::uint64_t bytes) {
  return lost ? fails_for_good() : emulated().copy(stream, to, from, bytes);
}
int launch_graph(resnet_stream* stream, resnet_graph* graph) {
  lost = lost || ++graphs > number("lost", kMost);
  return lost ? fails_for_good() : emulated().launch_graph(stream, graph);
}

}  // namespace

extern "C" const resnet_device_api* resnet_device() {
  static resnet_device_api api;
  api = emulated();
  api.name = "cuda";
  api.error = &error;
  api.count = &count;
  api.facts = &facts;
  api.use = &use;
  api.allocate = &allocate;
  api.release = &release;
  api.synchronize = &synchronize;
  api.wait = &wait;
  api.copy = &copy;
  api.launch_graph = &launch_graph;
  api.library = &library;
  if (found("null") != nullptr) return nullptr;
  if (found("version") != nullptr) --api.version;
  if (found("kernels") != nullptr) ++api.kernels;
  return &api;
}

#include "emulator/emulator.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "emulator/kernels.h"
#include "emulator/memory.h"

// Work that was captured: copies, fills and launches with their arguments.
struct resnet_graph {
  std::vector<std::function<int()>> work;
};
struct resnet_stream {
  resnet_graph* captures = nullptr;
  bool late = false;                           // Pace::late
  std::deque<std::function<int()>> waiting{};  // in the order in which it was asked for
  std::int64_t asked = 0, done = 0;
  std::string fault{};  // of late work: later calls give it too, as a card's do
};
struct resnet_event {
  std::chrono::steady_clock::time_point at{};
  resnet_stream* stream = nullptr;  // that it is a moment of, late: when so much of it is done
  std::int64_t number = 0;
};

namespace resnet::emulator {

namespace {

constexpr std::int32_t kSharedBytes = 227 * 1024;  // of a block, as on sm_90

thread_local std::string last_error;
thread_local Order order = Order::forward;
thread_local Pace pace = Pace::at_once;
thread_local Statistics statistics;

int failed(std::string message) {
  last_error = std::move(message);
  return RESNET_DEVICE_FAILED;
}

// Of all devices: what was allocated, and the streams whose work is late.
struct Host {
  std::mutex mutex;
  std::map<const std::byte*, std::uint64_t> memory;  // bytes from there on, of the device or pinned
  std::set<resnet_stream*> late;
};
Host& host() {
  static Host kHost;
  return kHost;
}

// Whether a copy of it may be late; what is neither of the device nor pinned is read, or written, at once.
bool may_be_late(const void* memory) {
  const auto* at = static_cast<const std::byte*>(memory);
  const std::lock_guard lock(host().mutex);
  const auto next = host().memory.upper_bound(at);
  if (next == host().memory.begin()) return false;
  const auto& [begin, bytes] = *std::prev(next);
  return at < begin + bytes;
}

int run_until(resnet_stream* stream, std::int64_t number) {
  while (stream->fault.empty() && stream->done < number) {
    const std::function<int()> work = std::move(stream->waiting.front());
    stream->waiting.pop_front();
    ++stream->done;
    if (work() != 0) stream->fault = last_error;
  }
  return stream->fault.empty() ? 0 : failed(stream->fault);
}

// Before memory or graphs go that late work may need.
void run_all() {
  std::unique_lock lock(host().mutex);
  const std::set<resnet_stream*> late = host().late;
  lock.unlock();
  for (resnet_stream* stream : late) run_until(stream, stream->asked);
}

}  // namespace

int submit(resnet_stream* stream, std::function<int()> work) {
  if (stream->captures == nullptr && !stream->late) return work();
  if (stream->captures == nullptr) ++stream->asked;
  (stream->captures == nullptr ? stream->waiting.emplace_back() : stream->captures->work.emplace_back()) =
      std::move(work);
  return 0;
}

namespace {

int launch(const resnet_launch& launch, const std::vector<std::byte>& args) {
  const auto id = static_cast<device::KernelId>(launch.kernel);
  const device::KernelFacts& facts = device::facts_of(id);
  const Function function = function_of(id);
  const std::string fault = run(
      static_cast<int>(launch.blocks), facts.threads, static_cast<int>(launch.shared_bytes),
      [&] { function(args.data()); }, order, &statistics);
  return fault.empty() ? 0 : failed(std::string(facts.name) + ", " + fault);
}

const char* error() {
  return last_error.c_str();
}
int count(std::int32_t* devices) {
  *devices = 1;
  return 0;
}
int facts(std::int32_t device, resnet_device_facts* facts) {
  if (device != 0) return failed("there is one emulated device, number 0");
  *facts = {};
  std::snprintf(facts->name, sizeof facts->name, "emulated");
  facts->multiprocessors = 1;
  facts->memory_bytes = facts->free_bytes = std::int64_t{1} << 40;
  facts->shared_bytes = kSharedBytes;
  return 0;
}
int use(std::int32_t device) {
  return device == 0 ? 0 : failed("there is one emulated device, number 0");
}

int allocate(std::uint64_t bytes, void** memory) {
  *memory = new_memory(bytes);
  if (*memory == nullptr) {
    last_error = "out of memory";
    return RESNET_DEVICE_NO_MEMORY;
  }
  const std::lock_guard lock(host().mutex);
  host().memory[static_cast<const std::byte*>(*memory)] = bytes;
  return 0;
}
void release(void* memory) {
  if (memory == nullptr) return;
  run_all();
  const std::lock_guard lock(host().mutex);
  delete_memory(memory, host().memory.extract(static_cast<const std::byte*>(memory)).mapped());
}

int make_stream(resnet_stream** stream) {
  *stream = new resnet_stream{.late = pace == Pace::late};
  const std::lock_guard lock(host().mutex);
  if ((*stream)->late) host().late.insert(*stream);
  return 0;
}
void end_stream(resnet_stream* stream) {
  if (stream == nullptr) return;
  run_until(stream, stream->asked);
  const std::lock_guard lock(host().mutex);
  host().late.erase(stream);
  delete stream;
}
int synchronize(resnet_stream* stream) {
  return stream->captures == nullptr ? run_until(stream, stream->asked)
                                     : failed("waits for a stream that captures");
}
int copy(resnet_stream* stream, void* to, const void* from, std::uint64_t bytes) {
  if (stream->late && stream->captures == nullptr && !may_be_late(from)) {
    const auto* read = static_cast<const std::byte*>(from);
    return submit(stream, [to, given = std::vector<std::byte>(read, read + bytes)] {
      std::memcpy(to, given.data(), given.size());
      return 0;
    });
  }
  if (stream->late && stream->captures == nullptr && !may_be_late(to)) {
    if (const int status = run_until(stream, stream->asked)) return status;
    std::memcpy(to, from, bytes);
    return 0;
  }
  return submit(stream, [=] {
    std::memcpy(to, from, bytes);
    return 0;
  });
}
int fill(resnet_stream* stream, void* memory, std::int32_t byte, std::uint64_t bytes) {
  return submit(stream, [=] {
    std::memset(memory, byte, bytes);
    return 0;
  });
}
int submit_launch(resnet_stream* stream, const resnet_launch* given) {
  if (given->kernel >= static_cast<std::uint32_t>(device::KernelId::count))
    return failed("there is no such kernel");
  const device::KernelFacts& facts = device::facts_of(static_cast<device::KernelId>(given->kernel));
  const std::string name(facts.name);
  if (given->args_bytes != static_cast<std::uint32_t>(facts.args_bytes))
    return failed(name + " takes other arguments");
  if (given->blocks == 0) return failed(name + " is launched without blocks");
  // As the plugin does: what a kernel may ask for on every card, and not what this one would have.
  if (given->shared_bytes > std::uint32_t{device::kMostShared})
    return failed(name + " asks for more shared memory than a block has");
  const auto* bytes = static_cast<const std::byte*>(given->args);
  return submit(stream, [launched = *given, args = std::vector<std::byte>(bytes, bytes + given->args_bytes)] {
    return launch(launched, args);
  });
}

int make_event(resnet_event** event) {
  *event = new resnet_event;
  return 0;
}
void end_event(resnet_event* event) {
  run_all();
  delete event;
}
int record(resnet_stream* stream, resnet_event* event) {
  const int status = submit(stream, [=] {
    event->at = std::chrono::steady_clock::now();
    return 0;
  });
  event->stream = stream;
  event->number = stream->asked;
  return status;
}
int wait(resnet_event* event) {
  return event->stream == nullptr ? 0 : run_until(event->stream, event->number);
}
int follow(resnet_stream* stream, resnet_event* event) {
  if (event->stream == nullptr) return 0;
  return submit(stream, [from = event->stream, number = event->number] { return run_until(from, number); });
}
int elapsed(resnet_event* first, resnet_event* last, float* milliseconds) {
  if (const int status = wait(last)) return status;
  *milliseconds = std::chrono::duration<float, std::milli>(last->at - first->at).count();
  return 0;
}

int begin_capture(resnet_stream* stream) {
  if (stream->captures != nullptr) return failed("captures already");
  stream->captures = new resnet_graph;
  return 0;
}
int end_capture(resnet_stream* stream, resnet_graph** graph) {
  if (stream->captures == nullptr) return failed("captures nothing");
  *graph = std::exchange(stream->captures, nullptr);
  return 0;
}
int launch_graph(resnet_stream* stream, resnet_graph* graph) {
  return submit(stream, [=] {
    for (const auto& work : graph->work)
      if (const int status = work()) return status;
    return 0;
  });
}
void end_graph(resnet_graph* graph) {
  run_all();
  delete graph;
}

// No library either: tests put one in their place, and submit() is how its work is captured.
int library(std::int32_t* version) {
  *version = 0;
  return failed("the emulated device has no cuDNN");
}
int plan_convolution(resnet_stream*, const resnet_convolution*, resnet_convolution_plan**, std::uint64_t*) {
  return failed("the emulated device has no cuDNN");
}
void end_convolution(resnet_convolution_plan*) {}
int convolve(resnet_stream*, const resnet_convolution_plan*, const resnet_convolution_data*) {
  return failed("the emulated device has no cuDNN");
}

}  // namespace

std::string run(int blocks, int threads, int shared_bytes, const std::function<void()>& kernel, Order turns,
                Statistics* counts) {
  Statistics own;
  for (int i = 0; i < blocks; ++i) {
    const int number = turns == Order::forward ? i : blocks - 1 - i;
    Block block({number, blocks, threads, shared_bytes}, turns, counts != nullptr ? *counts : own);
    std::string fault = block.run(kernel);
    if (!fault.empty()) return fault;
  }
  return "";
}

const resnet_device_api& api() {
  static const resnet_device_api kApi = {
      .version = RESNET_DEVICE_API_VERSION,
      .bytes = sizeof(resnet_device_api),
      .kernels = device::kernels_hash(),
      .name = "emulator",
      .error = &error,
      .count = &count,
      .facts = &facts,
      .use = &use,
      .allocate = &allocate,
      .release = &release,
      .allocate_pinned = &allocate,
      .release_pinned = &release,
      .make_stream = &make_stream,
      .end_stream = &end_stream,
      .synchronize = &synchronize,
      .copy = &copy,
      .fill = &fill,
      .launch = &submit_launch,
      .make_event = &make_event,
      .end_event = &end_event,
      .record = &record,
      .wait = &wait,
      .follow = &follow,
      .elapsed = &elapsed,
      .begin_capture = &begin_capture,
      .end_capture = &end_capture,
      .launch_graph = &launch_graph,
      .end_graph = &end_graph,
      .library = &library,
      .plan_convolution = &plan_convolution,
      .end_convolution = &end_convolution,
      .convolve = &convolve,
  };
  return kApi;
}

void set_order(Order turns) {
  order = turns;
}
void set_pace(Pace when) {
  pace = when;
}
Statistics take_statistics() {
  return std::exchange(statistics, {});
}

}  // namespace resnet::emulator

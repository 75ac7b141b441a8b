#include "gpu/device.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/memory.h"
#include "resnet/device.h"
#include "resnet/memory.h"

namespace resnet::gpu {
namespace {

constexpr const char* kOldDriver = "NVIDIA's driver is too old for the plugin for GPUs: {}";
constexpr const char* kNewerDriver = "install a newer driver, or compute on the CPU";

}  // namespace

std::string misfit(const resnet_device_api* api) {
  if (api == nullptr || api->version != RESNET_DEVICE_API_VERSION || api->bytes != sizeof(resnet_device_api))
    return "the plugin for GPUs is of another version than this program";
  if (api->kernels != device::kernels_hash())
    return "the plugin for GPUs has other kernels than this program";
  return "";
}

std::string cuda_version(std::int32_t number) {
  return fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

int count_devices(const resnet_device_api& api) {
  std::int32_t count = 0;
  const int status = api.count(&count);
  if (status == RESNET_DEVICE_OLD_DRIVER) {
    throw ConfigError(fmt::format(kOldDriver, api.error()), kNewerDriver);
  }
  if (status != 0 && status != RESNET_DEVICE_NONE) {
    throw DeviceError(fmt::format("{} failed while looking for devices: {}", api.name, api.error()),
                      "see what nvidia-smi says of the driver, or compute on the CPU");
  }
  if (status != 0 || count == 0) {
    throw ConfigError(status == 0 ? "there is no GPU" : fmt::format("there is no GPU: {}", api.error()),
                      "nvidia-smi lists those that the driver sees, CUDA_VISIBLE_DEVICES may hide them");
  }
  return count;
}

Device::Device(const resnet_device_api& api, int number) : api_(api), number_(number), process_(getpid()) {
  if (const std::string what = misfit(&api); !what.empty()) throw ConfigError(what, kOneSource);
  const int count = count_devices(api);
  if (number < 0 || number >= count) {
    throw ConfigError(fmt::format("there is no device {}", name()),
                      count == 1 ? fmt::format("{}:0 is the only one", api.name)
                                 : fmt::format("use {}:0 to {}:{}", api.name, api.name, count - 1));
  }
  // Before it is taken, which costs memory there.
  expect(api.facts(number, &facts_), "asking for the device's facts");
  if (facts_.architecture != 0 && facts_.architecture < RESNET_LEAST_ARCHITECTURE) {
    throw ConfigError(fmt::format("{} ({}) has compute capability {}.{}, and {}.{} is the least", name(),
                                  facts_.name, facts_.architecture / 10, facts_.architecture % 10,
                                  RESNET_LEAST_ARCHITECTURE / 10, RESNET_LEAST_ARCHITECTURE % 10),
                      "use a GPU of the Ampere generation or newer, or compute on the CPU");
  }
  expect(api.use(number), "taking the device");
  expect(api.make_stream(&stream_), "making a stream");
  const int status = api.make_stream(&copies_);
  if (status != RESNET_DEVICE_DONE) api.end_stream(stream_);  // no destructor will
  expect(status, "making a stream");
}

Device::~Device() {
  if (getpid() != process_) return;
  static_cast<void>(api_.use(number_));  // the library's plans end by whichever thread
  for (const auto& [what, prepared] : prepared_)
    if (prepared.plan != nullptr) api_.end_convolution(prepared.plan);
  api_.end_stream(copies_);
  api_.end_stream(stream_);
}

std::string Device::name() const {
  return fmt::format("{}:{}", api_.name, number_);
}

std::int64_t Device::free_bytes() const {
  expect_own_process();
  resnet_device_facts now{};
  expect(api_.use(number_), "taking the device");
  expect(api_.facts(number_, &now), "asking for the device's facts");
  return now.free_bytes;
}

void Device::expect(int status, const char* what, const std::string& hint) const {
  switch (status) {
    case RESNET_DEVICE_DONE:
      return;
    case RESNET_DEVICE_BUSY:
      throw DeviceError(fmt::format("{} is busy: {}", name(), api_.error()),
                        "nvidia-smi lists the processes that have it; end them, or use another device");
    case RESNET_DEVICE_NO_MEMORY:
      throw MemoryError(fmt::format("{} has no memory left while {}: {}", name(), what, api_.error()));
    case RESNET_DEVICE_OLD_DRIVER:  // for the kernels that it would have to compile
      throw DeviceError(fmt::format(kOldDriver, api_.error()), kNewerDriver);
    default:
      throw DeviceError(fmt::format("{} failed while {}: {}", name(), what, api_.error()), hint);
  }
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
  const int status = api_.allocate(static_cast<std::uint64_t>(bytes), &memory);
  if (status == RESNET_DEVICE_NO_MEMORY) {
    throw MemoryError(
        fmt::format("{} has no {} of memory left: {}", name(), bytes_text(bytes), api_.error()));
  }
  expect(status, "taking memory");
  return memory;
}

void* Device::allocate_pinned(std::int64_t bytes) {
  expect_own_process();
  void* memory = nullptr;
  expect(api_.use(number_), "taking the device");
  if (api_.allocate_pinned(static_cast<std::uint64_t>(bytes), &memory) != 0) {
    throw MemoryError(fmt::format("the host has no {} of memory left for copies to {}: {}", bytes_text(bytes),
                                  name(), api_.error()));
  }
  return memory;
}

void Device::release(void* memory) noexcept {
  if (getpid() == process_ && api_.use(number_) == RESNET_DEVICE_DONE) api_.release(memory);
}

void Device::release_pinned(void* memory) noexcept {
  if (getpid() == process_ && api_.use(number_) == RESNET_DEVICE_DONE) api_.release_pinned(memory);
}

void Device::End::operator()(resnet_graph* graph) const noexcept {
  if (getpid() == device->process_) device->api_.end_graph(graph);
}

void Device::End::operator()(resnet_event* event) const noexcept {
  if (getpid() == device->process_) device->api_.end_event(event);
}

void Device::copy(void* to, const void* from, std::int64_t bytes) {
  expect_own_process();
  if (bytes > 0) expect(api_.copy(stream_, to, from, static_cast<std::uint64_t>(bytes)), "copying");
}

void Device::fill(void* memory, int byte, std::int64_t bytes) {
  if (bytes > 0)
    expect(api_.fill(stream_, memory, byte, static_cast<std::uint64_t>(bytes)), "filling memory");
}

void Device::launch(const Work& work) {
  if (const auto* convolution = std::get_if<Convolution>(&work)) return launch_convolution(*convolution);
  launch_kernel(std::get<Launch>(work));
}

void Device::launch_kernel(const Launch& launch) {
  const resnet_launch given{static_cast<std::uint32_t>(launch.kernel), launch.blocks, launch.shared_bytes,
                            static_cast<std::uint32_t>(device::facts_of(launch.kernel).args_bytes),
                            launch.args.data()};
  expect(api_.launch(stream_, &given), "computing");
}

void Device::launch_convolution(const Convolution& convolution) {
  const Prepared& found = prepared(convolution.what);
  if (found.plan == nullptr)
    throw Error("a plan asks for a convolution that this device does not have: " + found.why);
  expect(api_.convolve(stream_, found.plan, &convolution.data), "computing a convolution by cuDNN",
         "with RESNET_CUDNN_DIR=/nowhere kernels of our own compute them all");
}

const Device::Prepared& Device::prepared(const resnet_convolution& what) {
  const auto [at, is_new] = prepared_.try_emplace(what);
  Prepared& made = at->second;
  if (!is_new) return made;
  std::uint64_t bytes = 0;
  if (api_.plan_convolution(stream_, &what, &made.plan, &bytes) != 0) {
    made.plan = nullptr;
    made.why = api_.error();
  }
  made.workspace_bytes = static_cast<std::int64_t>(bytes);
  return made;
}

std::string Device::prepare(const resnet_convolution& what, std::int64_t workspace_bytes) {
  expect_own_process();
  const Prepared& made = prepared(what);
  std::string why = made.why;
  if (why.empty() && made.workspace_bytes > workspace_bytes)
    why = fmt::format("it needs a workspace of {} bytes, not {}", made.workspace_bytes, workspace_bytes);
  if (!why.empty()) refused_.try_emplace(what, why);
  return why;
}

bool Device::has_library() {
  if (library_ < 0 && api_.library(&library_) != 0) {
    library_ = 0;
    library_why_ = api_.error();
  }
  return library_ > 0;
}

std::string Device::library_text() const {
  if (library_ <= 0) return "";
  return fmt::format("cuDNN {}.{}.{}", library_ / 10000, library_ / 100 % 100, library_ % 100);
}

std::string Device::note() const {
  if (!not_captured_.empty()) return "steps are launched one kernel at a time, in no graph: " + not_captured_;
  if (refused_.empty()) return "";
  return fmt::format(
      "{} does not compute {} of {} passes of convolutions that it was asked for, own kernels do: {}",
      library_text(), refused_.size(), prepared_.size(), refused_.begin()->second);
}

void Device::synchronize() {
  expect(api_.synchronize(stream_), "computing");
}

Device::Graph Device::captured(const std::function<void()>& ask) {
  expect_own_process();
  expect(api_.use(number_), "taking the device");
  resnet_graph* graph = nullptr;
  try {
    expect(api_.begin_capture(stream_), "capturing a graph");
    try {
      ask();
    } catch (...) {  // or the stream would never run anything again
      if (api_.end_capture(stream_, &graph) == RESNET_DEVICE_DONE) api_.end_graph(graph);
      throw;
    }
    expect(api_.end_capture(stream_, &graph), "capturing a graph");
  } catch (const DeviceError& error) {  // a device that has failed says so once more where it is asked next
    not_captured_ = error.what();
    return {};
  } catch (const MemoryError& error) {
    not_captured_ = error.what();
    return {};
  }
  return {graph, {this}};
}

void Device::launch(const Graph& graph) {
  expect_own_process();
  expect(api_.launch_graph(stream_, graph.get()), "computing");
}

Device::Moment Device::make_moment() {
  expect_own_process();
  expect(api_.use(number_), "taking the device");
  resnet_event* made = nullptr;
  expect(api_.make_event(&made), "making an event");
  return {made, {this}};
}

void Device::record(const Moment& moment) {
  expect(api_.record(stream_, moment.get()), "recording an event");
}

Device::Moment Device::mark() {
  Moment moment = make_moment();
  record(moment);
  return moment;
}

void Device::wait(const Moment& moment) {
  expect_own_process();
  expect(api_.wait(moment.get()), "computing");
}

void Device::copy_beside(void* to, const void* from, std::int64_t bytes, const Moment& landed) {
  expect_own_process();
  expect(api_.copy(copies_, to, from, static_cast<std::uint64_t>(bytes)), "copying");
  expect(api_.record(copies_, landed.get()), "recording an event");
  expect(api_.follow(stream_, landed.get()), "waiting for a copy");
}

double Device::seconds(const Moment& first, const Moment& last) const {
  float milliseconds = 0;
  expect(api_.elapsed(first.get(), last.get(), &milliseconds), "computing");
  return static_cast<double>(milliseconds) * 1e-3;
}

}  // namespace resnet::gpu

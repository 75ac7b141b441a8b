// device/api.h over the CUDA runtime: the plugin libresnet_cuda.so.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "cuda/cudnn.h"
#include "cuda/kernels.h"
#include "device/api.h"
#include "device/kernels.h"

struct resnet_stream {
  cudaStream_t stream = nullptr;
  int device = 0;
  bool overlaps = false;  // a kernel is launched while the one before it ends
  void* cudnn = nullptr;  // its handle, once a convolution has asked for it
};
struct resnet_event {
  cudaEvent_t event = nullptr;
  int device = 0;
};
struct resnet_graph {
  cudaGraphExec_t graph = nullptr;
  int device = 0;
};

namespace resnet::cuda {
namespace {

thread_local char last_error[512] = "";

// Where a block has more, several of them share a multiprocessor only if that has shared memory rather than cache.
constexpr std::uint32_t kSharedOfOne = 32 << 10;
// Of free memory, what is left for what CUDA and cuDNN load and make after it was asked for: kernels, graphs.
constexpr std::size_t kTakenLater = std::size_t{256} << 20;

int failed(const char* message) {
  std::snprintf(last_error, sizeof last_error, "%s", message);
  return RESNET_DEVICE_FAILED;
}
resnet_device_status status_of(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return RESNET_DEVICE_DONE;
    case cudaErrorNoDevice:
      return RESNET_DEVICE_NONE;
    case cudaErrorInsufficientDriver:
    case cudaErrorCallRequiresNewerDriver:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      return RESNET_DEVICE_OLD_DRIVER;
    case cudaErrorDevicesUnavailable:
      return RESNET_DEVICE_BUSY;
    case cudaErrorMemoryAllocation:
      return RESNET_DEVICE_NO_MEMORY;
    default:
      return RESNET_DEVICE_FAILED;
  }
}
int checked(cudaError_t status) {
  if (status == cudaSuccess) return RESNET_DEVICE_DONE;
  std::snprintf(last_error, sizeof last_error, "%s (%s)", cudaGetErrorString(status),
                cudaGetErrorName(status));
  static_cast<void>(cudaGetLastError());  // it was told
  return status_of(status);
}

/// All that a stream, an event or a graph is asked for is asked on its device, whichever thread does so: a
/// thread that has named none is on device 0, and would make CUDA's context there.
template <class Of>
int on(const Of* of) {
  return checked(cudaSetDevice(of->device));
}

const char* error() {
  return last_error;
}
int count(std::int32_t* devices) {
  *devices = 0;
  int found = 0;
  const int status = checked(cudaGetDeviceCount(&found));
  *devices = found;
  return status;
}
int facts(std::int32_t device, resnet_device_facts* facts) {
  std::memset(facts, 0, sizeof *facts);
  cudaDeviceProp properties{};
  if (const int status = checked(cudaGetDeviceProperties(&properties, device))) return status;  // no context
  std::snprintf(facts->name, sizeof facts->name, "%s", properties.name);
  facts->architecture = properties.major * 10 + properties.minor;
  facts->multiprocessors = properties.multiProcessorCount;
  facts->shared_bytes = static_cast<std::int32_t>(properties.sharedMemPerBlockOptin);
  if (const int status = checked(cudaDriverGetVersion(&facts->driver))) return status;
  if (const int status = checked(cudaRuntimeGetVersion(&facts->runtime))) return status;
  // Whoever asks refuses one that none of the kernels is for: it is not worth a context.
  if (facts->architecture < RESNET_LEAST_ARCHITECTURE) return RESNET_DEVICE_DONE;
  if (const int status = checked(cudaSetDevice(device))) return status;
  std::size_t free_bytes = 0, all_bytes = 0;
  if (const int status = checked(cudaMemGetInfo(&free_bytes, &all_bytes))) return status;
  facts->memory_bytes = static_cast<std::int64_t>(all_bytes);
  facts->free_bytes = static_cast<std::int64_t>(free_bytes > kTakenLater ? free_bytes - kTakenLater : 0);
  return RESNET_DEVICE_DONE;
}
int use(std::int32_t device) {
  return checked(cudaSetDevice(device));
}

int allocate(std::uint64_t bytes, void** memory) {
  return checked(cudaMalloc(memory, bytes));
}
void release(void* memory) {
  static_cast<void>(checked(cudaFree(memory)));
}
int allocate_pinned(std::uint64_t bytes, void** memory) {
  return checked(cudaMallocHost(memory, bytes));
}
void release_pinned(void* memory) {
  static_cast<void>(checked(cudaFreeHost(memory)));
}

// What cuDNN throws is an error of the call.
template <class Function>
int guarded(const Function& function) {
  try {
    function();
    return 0;
  } catch (const std::exception& error) {
    return failed(error.what());
  }
}

// cuDNN, or why there is none. It stays to the end of the process.
struct FoundCudnn {
  const Cudnn* cudnn = nullptr;
  std::string why;
};
const FoundCudnn& found_cudnn() {
  static const FoundCudnn kFound = [] {
    FoundCudnn found;
    try {
      found.cudnn = new Cudnn;
    } catch (const std::exception& error) {
      found.why = error.what();
    }
    return found;
  }();
  return kFound;
}

// Whether kernels wait for their turn themselves (kernels.cu), as code from compute capability 9.0 on can;
// where somebody wants to try it: no card has yet.
int find_overlap(bool& overlaps) {
  cudaFuncAttributes attributes{};
  if (const int status = checked(cudaFuncGetAttributes(&attributes, entry_of(0)))) return status;
  const char* const wanted = std::getenv("RESNET_CUDA_OVERLAP");
  overlaps = wanted != nullptr && *wanted != '\0' && attributes.ptxVersion >= 90;
  return 0;
}
int make_stream(resnet_stream** stream) {
  auto* made = new (std::nothrow) resnet_stream;
  if (made == nullptr) return failed("out of memory");
  int status = checked(cudaGetDevice(&made->device));
  if (status == 0) status = find_overlap(made->overlaps);
  if (status == 0) status = checked(cudaStreamCreateWithFlags(&made->stream, cudaStreamNonBlocking));
  if (status != 0) {
    delete made;
    return status;
  }
  *stream = made;
  return 0;
}
void end_stream(resnet_stream* stream) {
  if (stream == nullptr) return;
  static_cast<void>(on(stream));
  if (stream->cudnn != nullptr) found_cudnn().cudnn->end_handle(stream->cudnn);
  static_cast<void>(checked(cudaStreamDestroy(stream->stream)));
  delete stream;
}
int synchronize(resnet_stream* stream) {
  if (const int status = on(stream)) return status;
  return checked(cudaStreamSynchronize(stream->stream));
}
int copy(resnet_stream* stream, void* to, const void* from, std::uint64_t bytes) {
  if (const int status = on(stream)) return status;
  return checked(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream->stream));
}
int fill(resnet_stream* stream, void* memory, std::int32_t byte, std::uint64_t bytes) {
  if (const int status = on(stream)) return status;
  return checked(cudaMemsetAsync(memory, byte, bytes, stream->stream));
}
int launch(resnet_stream* stream, const resnet_launch* launch) {
  if (launch->kernel >= static_cast<std::uint32_t>(device::KernelId::count))
    return failed("there is no such kernel");
  const device::KernelFacts& kernel = device::facts_of(static_cast<device::KernelId>(launch->kernel));
  if (launch->args_bytes != static_cast<std::uint32_t>(kernel.args_bytes))
    return failed("a kernel was given other arguments than it takes");
  if (const int status = on(stream)) return status;
  const void* const entry = entry_of(launch->kernel);
  // What is more than a kernel has without asking is asked for once and for all: a graph takes the attribute
  // of the moment when it is made, whatever it was at a launch.
  if (launch->shared_bytes > std::uint32_t{device::kMostShared})
    return failed("a kernel was given more shared memory than there is");
  if (launch->shared_bytes > std::uint32_t{device::kSharedUnasked}) {
    if (const int status = checked(
            cudaFuncSetAttribute(entry, cudaFuncAttributeMaxDynamicSharedMemorySize, device::kMostShared)))
      return status;
  }
  if (launch->shared_bytes > kSharedOfOne) {
    if (const int status = checked(cudaFuncSetAttribute(entry, cudaFuncAttributePreferredSharedMemoryCarveout,
                                                        cudaSharedmemCarveoutMaxShared)))
      return status;
  }
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(launch->blocks);
  config.blockDim = dim3(static_cast<unsigned>(kernel.threads));
  config.dynamicSmemBytes = launch->shared_bytes;
  config.stream = stream->stream;
  config.attrs = &early;
  config.numAttrs = stream->overlaps ? 1 : 0;
  void* args[] = {const_cast<void*>(launch->args)};
  return checked(cudaLaunchKernelExC(&config, entry, args));
}

int make_event(resnet_event** event) {
  auto* made = new (std::nothrow) resnet_event;
  if (made == nullptr) return failed("out of memory");
  int status = checked(cudaGetDevice(&made->device));
  // Whoever waits for one sleeps: the steps ahead keep the device busy, and the loader has the processor.
  if (status == 0) status = checked(cudaEventCreateWithFlags(&made->event, cudaEventBlockingSync));
  if (status != 0) {
    delete made;
    return status;
  }
  *event = made;
  return 0;
}
void end_event(resnet_event* event) {
  if (event == nullptr) return;
  static_cast<void>(on(event));
  static_cast<void>(checked(cudaEventDestroy(event->event)));
  delete event;
}
int record(resnet_stream* stream, resnet_event* event) {
  if (const int status = on(stream)) return status;
  return checked(cudaEventRecord(event->event, stream->stream));
}
int wait(resnet_event* event) {
  if (const int status = on(event)) return status;
  return checked(cudaEventSynchronize(event->event));
}
int follow(resnet_stream* stream, resnet_event* event) {
  if (const int status = on(stream)) return status;
  return checked(cudaStreamWaitEvent(stream->stream, event->event, 0));
}
int elapsed(resnet_event* first, resnet_event* last, float* milliseconds) {
  if (const int status = on(last)) return status;
  if (const int status = checked(cudaEventSynchronize(last->event))) return status;
  return checked(cudaEventElapsedTime(milliseconds, first->event, last->event));
}

int begin_capture(resnet_stream* stream) {
  if (const int status = on(stream)) return status;
  // Relaxed: what a library allocates or loads meanwhile is no part of the graph, and no reason to give it up.
  return checked(cudaStreamBeginCapture(stream->stream, cudaStreamCaptureModeRelaxed));
}
int end_capture(resnet_stream* stream, resnet_graph** graph) {
  if (const int status = on(stream)) return status;
  cudaGraph_t captured = nullptr;
  if (const int status = checked(cudaStreamEndCapture(stream->stream, &captured))) return status;
  auto* made = new (std::nothrow) resnet_graph;
  const int status =
      made == nullptr ? failed("out of memory") : checked(cudaGraphInstantiate(&made->graph, captured, 0));
  static_cast<void>(checked(cudaGraphDestroy(captured)));
  if (status != 0) {
    delete made;
    return status;
  }
  made->device = stream->device;
  *graph = made;
  return 0;
}
int launch_graph(resnet_stream* stream, resnet_graph* graph) {
  if (const int status = on(stream)) return status;
  return checked(cudaGraphLaunch(graph->graph, stream->stream));
}
void end_graph(resnet_graph* graph) {
  if (graph == nullptr) return;
  static_cast<void>(on(graph));
  static_cast<void>(checked(cudaGraphExecDestroy(graph->graph)));
  delete graph;
}

int library(std::int32_t* version) {
  const FoundCudnn& found = found_cudnn();
  *version = found.cudnn != nullptr ? found.cudnn->version() : 0;
  return found.cudnn != nullptr ? 0 : failed(found.why.c_str());
}
int plan_convolution(resnet_stream* stream, const resnet_convolution* what, resnet_convolution_plan** plan,
                     std::uint64_t* workspace_bytes) {
  const Cudnn* const cudnn = found_cudnn().cudnn;
  if (cudnn == nullptr) return failed(found_cudnn().why.c_str());
  if (const int status = on(stream)) return status;
  return guarded([&] {
    if (stream->cudnn == nullptr) stream->cudnn = cudnn->make_handle(stream->stream);
    auto made = cudnn->plan(*what, {.handle = stream->cudnn});
    *workspace_bytes = static_cast<std::uint64_t>(made->workspace_bytes);
    *plan = made.release();
  });
}
void end_convolution(resnet_convolution_plan* plan) {
  delete plan;
}
int convolve(resnet_stream* stream, const resnet_convolution_plan* plan,
             const resnet_convolution_data* data) {
  if (const int status = on(stream)) return status;
  return guarded([&] { found_cudnn().cudnn->run(*plan, *data); });
}

}  // namespace
}  // namespace resnet::cuda

extern "C" __attribute__((visibility("default"))) const resnet_device_api* resnet_device() {
  using namespace resnet::cuda;
  static const resnet_device_api kApi = {RESNET_DEVICE_API_VERSION,
                                         sizeof(resnet_device_api),
                                         resnet::device::kernels_hash(),
                                         "cuda",
                                         &error,
                                         &count,
                                         &facts,
                                         &use,
                                         &allocate,
                                         &release,
                                         &allocate_pinned,
                                         &release_pinned,
                                         &make_stream,
                                         &end_stream,
                                         &synchronize,
                                         &copy,
                                         &fill,
                                         &launch,
                                         &make_event,
                                         &end_event,
                                         &record,
                                         &wait,
                                         &follow,
                                         &elapsed,
                                         &begin_capture,
                                         &end_capture,
                                         &launch_graph,
                                         &end_graph,
                                         &library,
                                         &plan_convolution,
                                         &end_convolution,
                                         &convolve};
  return &kApi;
}

#include "gpu/with_cudnn.h"

#include <dlfcn.h>

#include <functional>
#include <string>

#include "cuda/cudnn.h"
#include "emulator/emulator.h"
#include "gpu/device.h"

namespace resnet::test {
namespace {

thread_local std::string cudnn_error;

const cuda::Cudnn& fake_cudnn() {
  static const cuda::Cudnn kCudnn({RESNET_FAKE_CUDNN});
  return kCudnn;
}
int guarded(const std::function<void()>& function) {
  cudnn_error.clear();
  try {
    function();
    return 0;
  } catch (const cuda::CudnnError& error) {
    cudnn_error = error.what();
    return 1;
  }
}

const char* error() {
  return cudnn_error.empty() ? emulator::api().error() : cudnn_error.c_str();
}
int facts(std::int32_t device, resnet_device_facts* facts) {
  const int status = emulator::api().facts(device, facts);
  facts->architecture = 90;
  return status;
}
int library(std::int32_t* version) {
  *version = fake_cudnn().version();
  return 0;
}
int plan_convolution(resnet_stream* stream, const resnet_convolution* what, resnet_convolution_plan** plan,
                     std::uint64_t* workspace_bytes) {
  return guarded([&] {
    static void* const handle = fake_cudnn().make_handle(stream);
    auto made = fake_cudnn().plan(*what, {.handle = handle});
    *workspace_bytes = static_cast<std::uint64_t>(made->workspace_bytes);
    *plan = made.release();
  });
}
void end_convolution(resnet_convolution_plan* plan) {
  delete plan;
}
int convolve(resnet_stream* stream, const resnet_convolution_plan* plan,
             const resnet_convolution_data* data) {
  return emulator::submit(stream,
                          [plan, given = *data] { return guarded([&] { fake_cudnn().run(*plan, given); }); });
}

}  // namespace

const resnet_device_api& device_with_cudnn() {
  static const resnet_device_api kApi = [] {
    resnet_device_api api = emulator::api();
    api.error = &error;
    api.facts = &facts;
    api.library = &library;
    api.plan_convolution = &plan_convolution;
    api.end_convolution = &end_convolution;
    api.convolve = &convolve;
    return api;
  }();
  return kApi;
}

std::optional<CudnnDevice> cudnn_in_place_of(const resnet_device_api& tested) {
  if (&tested == &emulator::api()) return CudnnDevice{&device_with_cudnn(), 90, false};
  std::int32_t version = 0;
  if (tested.library(&version) != 0) return std::nullopt;
  return CudnnDevice{&tested, gpu::Device(tested).facts().architecture, true};
}

int live_in_cudnn() {
  void* const library = dlopen(RESNET_FAKE_CUDNN, RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<int (*)()>(dlsym(library, "fake_cudnn_live"))();
}

}  // namespace resnet::test

#include "gpu/plugin.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <new>
#include <system_error>
#include <utility>

#include "device/kernels.h"
#include "gpu/device.h"
#include "resnet/device.h"

namespace resnet::gpu {
namespace {

constexpr const char* kPlugin = "libresnet_cuda.so";
constexpr const char* kVariable = "RESNET_CUDA_PLUGIN";
constexpr const char* kEntry = "resnet_device";

// The loader's own words for its last failure, without a newline.
std::string loader_error() {
  const char* const text = dlerror();
  return text == nullptr ? "unknown reason" : text;
}

// The folder of the file that this code lies in: the program's, or a shared library's that holds ours.
std::filesystem::path own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&default_search), &info) == 0 || info.dli_fname == nullptr)
    return {};
  // The working folder of a program that was called by a relative path may be gone.
  std::error_code error;
  const std::filesystem::path file = std::filesystem::absolute(info.dli_fname, error);
  if (error == std::errc::not_enough_memory) throw std::bad_alloc();
  return file.parent_path();
}

}  // namespace

PluginSearch default_search() {
  if (const char* given = std::getenv(kVariable); given != nullptr && *given != '\0')
    return {.paths = {given}};
  const std::filesystem::path folder = own_folder();
  return {.paths = {(folder / kPlugin).string(), (folder / "../lib/resnet" / kPlugin).string(), kPlugin}};
}

Plugin load_plugin(const PluginSearch& search) {
  if (dlopen(search.driver.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
    return {.why = DeviceInfo::kNoDriver,
            .detail = loader_error(),
            .hint = "install NVIDIA's driver, or compute on the CPU"};
  }
  void* library = nullptr;
  std::string first;  // what the loader says of the place that was meant
  for (const std::string& path : search.paths) {
    library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    if (const std::string text = loader_error(); first.empty()) first = text;
  }
  if (library == nullptr) {
    return {.why = "no plugin for GPUs",
            .detail = first,
            .hint = fmt::format("put {} beside the program, or name it in {}", kPlugin, kVariable)};
  }
  const auto entry = reinterpret_cast<resnet_device_entry>(dlsym(library, kEntry));
  if (entry == nullptr) {
    return {.why = fmt::format("the plugin for GPUs has no function {}", kEntry),
            .hint = fmt::format("name a {} that was built with this program in {}", kPlugin, kVariable)};
  }
  const resnet_device_api* const api = entry();
  if (std::string what = misfit(api); !what.empty()) return {.why = std::move(what), .hint = kOneSource};
  return {.api = api};
}

}  // namespace resnet::gpu

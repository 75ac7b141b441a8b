// The kernels by number, as launches name them; for all who do not run them themselves.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "device/args.h"

namespace resnet::device {

/// A kernel's line in kernels.def.
enum class KernelId : std::uint32_t {
#define RESNET_KERNEL(name, threads, Args, ...) name,
#include "device/kernels.def"
  count
};

struct KernelFacts {
  std::string_view name;
  int threads;
  int args_bytes;
};

inline constexpr auto kKernels = std::to_array<KernelFacts>({
#define RESNET_KERNEL(name, threads, Args, ...) {#name, threads, static_cast<int>(sizeof(Args))},
#include "device/kernels.def"
});

constexpr const KernelFacts& facts_of(KernelId id) {
  return kKernels[static_cast<std::size_t>(id)];
}

/// Of all names, their threads and the sizes of their arguments: a device built from other kernels has
/// another.
constexpr std::uint64_t kernels_hash() {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  const auto add = [&](std::uint64_t value) { hash = (hash ^ value) * 0x100000001b3ULL; };
  for (const KernelFacts& kernel : kKernels) {
    for (const char c : kernel.name) add(static_cast<unsigned char>(c));
    add(static_cast<std::uint64_t>(kernel.threads));
    add(static_cast<std::uint64_t>(kernel.args_bytes));
  }
  return hash;
}

/// Most bytes of a kernel's arguments.
inline constexpr int kMostArgs = 256;
static_assert([] {
  for (const KernelFacts& kernel : kKernels)
    if (kernel.args_bytes > kMostArgs) return false;
  return true;
}());

}  // namespace resnet::device

// The kernels of kernels.def for CUDA's devices.
#include "cuda/kernels.h"
#include "device/kernels/conv3x3.h"
#include "device/kernels/conv3x3_weights.h"
#include "device/kernels/elementwise.h"
#include "device/kernels/gemm.h"
#include "device/kernels/layout.h"
#include "device/kernels/linear.h"
#include "device/kernels/loss.h"
#include "device/kernels/norm.h"
#include "device/kernels/norm_pool.h"
#include "device/kernels/optimizer.h"
#include "device/kernels/peak.h"
#include "device/kernels/pictures.h"
#include "device/kernels/pool.h"
#include "device/kernels/stem.h"

namespace resnet::device {
namespace {

// Blocks that share a multiprocessor's registers; 0: as many as there is room for.
constexpr int blocks_together(int threads) {
  return threads == kConv3x3Threads ? 2 : 0;
}

// A kernel that was launched early (device.cu) waits here until the one before it is done, and lets the next
// one begin likewise; for others this is nothing.
__device__ __forceinline__ void take_turn() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

#define RESNET_KERNEL(name, threads, Args, ...)                        \
  __global__ void __launch_bounds__(threads, blocks_together(threads)) \
      name##_kernel(const __grid_constant__ Args args) {               \
    take_turn();                                                       \
    __VA_ARGS__(args);                                                 \
  }
#include "device/kernels.def"

}  // namespace
}  // namespace resnet::device

namespace resnet::cuda {

const void* entry_of(std::uint32_t kernel) {
  static const void* const kEntries[] = {
#define RESNET_KERNEL(name, threads, Args, ...) reinterpret_cast<const void*>(&device::name##_kernel),
#include "device/kernels.def"
  };
  return kEntries[kernel];
}

}  // namespace resnet::cuda

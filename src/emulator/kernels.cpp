#include "emulator/kernels.h"

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

namespace resnet::emulator {
namespace {

using namespace device;  // NOLINT: as kernels.def names them

constexpr Function kFunctions[] = {
#define RESNET_KERNEL(name, threads, Args, ...) \
  +[](const void* args) { __VA_ARGS__(*static_cast<const Args*>(args)); },
#include "device/kernels.def"
};

}  // namespace

Function function_of(KernelId id) {
  return kFunctions[static_cast<std::size_t>(id)];
}

}  // namespace resnet::emulator

#include "gpu/peak.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "gpu/rules.h"

namespace resnet::gpu {
namespace {

constexpr int kTries = 5;
constexpr double kLeast = 5e-3;  // seconds of a try: far above what a launch takes, and the clocks rise

double seconds_of(Device& device, const std::function<void()>& work) {
  const Device::Moment begin = device.mark();
  work();
  return device.seconds(begin, device.mark());
}

/// Seconds of the shortest of a few tries, after one that does not count.
double best_of(Device& device, const std::function<void()>& work) {
  work();
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kTries; ++i) best = std::min(best, seconds_of(device, work));
  return best;
}

/// GB/s of `arrays` arrays that `work` sweeps, each as large as takes long enough.
double swept_gbytes(Device& device, int arrays,
                    const std::function<void(std::span<std::byte* const>, std::int64_t)>& work) {
  const std::int64_t most = std::min<std::int64_t>(1 << 30, device.free_bytes() / 16 / 256 * 256);
  for (std::int64_t bytes = std::min<std::int64_t>(64 << 10, most);; bytes = std::min(bytes * 4, most)) {
    const Memory memory(device, bytes * arrays);
    device.fill(memory.data(), 0, memory.bytes());
    std::vector<std::byte*> places;
    for (int i = 0; i < arrays; ++i) places.push_back(memory.data() + i * bytes);
    const double seconds = best_of(device, [&] { work(places, bytes); });
    if (seconds >= kLeast || bytes == most) return arrays * static_cast<double>(bytes) / seconds / 1e9;
  }
}

template <class Args>
Work work_of(KernelId kernel, std::int64_t blocks, const Args& args) {
  Recorder recorder(Addresses{});
  recorder.launch(kernel, blocks, args);
  return recorder.take().front();
}

// Of one turn of a thread block.
double flops_of_turn(Units units) {
  constexpr double kFfma = 2.0 * device::kThreads * 16 * device::kPeakSums;
  constexpr double kProduct = 2.0 * 16 * 8;
  constexpr double kProducts = kProduct * device::kThreads / 32 * device::kPeakSums;
  return units == Units::ffma ? kFfma : kProducts * (units == Units::tf32 ? 8 : 16);
}

}  // namespace

double peak_gflops(Device& device, Units units) {
  const KernelId kernel = units == Units::ffma   ? KernelId::peak_ffma
                          : units == Units::tf32 ? KernelId::peak_tf32
                                                 : KernelId::peak_bf16;
  // Eight blocks of 256 threads fill a multiprocessor; 32 of them take their turns.
  const std::int64_t blocks = device.facts().multiprocessors * std::int64_t{32};
  const Memory y(device, blocks * device::kThreads * std::int64_t{sizeof(float)});
  for (std::int32_t turns = 1;; turns *= 4) {
    const Work work = work_of(kernel, blocks, device::PeakArgs{reinterpret_cast<float*>(y.data()), turns});
    const double seconds = best_of(device, [&] { device.launch(work); });
    if (seconds >= kLeast || turns >= 1 << 24)
      return flops_of_turn(units) * turns * static_cast<double>(blocks) / seconds / 1e9;
  }
}

Memory keep_busy(Device& device) {
  // One block's turn of 8 warps on 4 schedulers is 256 cycles: 33792 of them on an H100, at up to 2 GHz, are
  // 4 ms and more. Few where there are few multiprocessors, as in the emulator.
  const std::int32_t turns = device.facts().multiprocessors * 256;
  Memory y(device, device::kThreads * std::int64_t{sizeof(float)});
  device.launch(work_of(KernelId::peak_ffma, 1, device::PeakArgs{reinterpret_cast<float*>(y.data()), turns}));
  return y;
}

double memory_gbytes(Device& device) {
  return swept_gbytes(device, 3, [&](std::span<std::byte* const> at, std::int64_t bytes) {
    const std::int64_t elements = bytes / std::int64_t{sizeof(float)};
    device.launch(work_of(KernelId::add_f32, sweep_blocks(elements, pack_of(DType::f32)),
                          device::SweepArgs{at[0], at[1], at[2], elements}));
  });
}

double copy_gbytes(Device& device) {
  return swept_gbytes(device, 2, [&](std::span<std::byte* const> at, std::int64_t bytes) {
    device.copy(at[1], at[0], bytes);
  });
}

}  // namespace resnet::gpu

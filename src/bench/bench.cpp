#include "bench/bench.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/machine.h"
#include "bench/devices.h"
#include "compiler/training.h"
#include "engine/choice.h"
#include "gpu/peak.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/peak/peak.h"
#include "ops/operation.h"
#include "tensor/thread_pool.h"

namespace resnet::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Opened once more, beside the engine.
gpu::Device opened(const DeviceInfo& device) {
  const engine::Choice choice = engine::choose_device({.device = device.kind});
  return gpu::Device(*choice.api, choice.number);
}

}  // namespace

double peak_of(const DeviceInfo& device, Precision precision) {
  if (device.kind == "cpu") return peak_gflops(device.threads, device.target, precision);
  gpu::Device gpu = opened(device);
  return gpu::peak_gflops(gpu, precision == Precision::bf16   ? gpu::Units::bf16
                               : precision == Precision::tf32 ? gpu::Units::tf32
                                                              : gpu::Units::ffma);
}

double memory_of(const DeviceInfo& device) {
  if (device.kind == "cpu") return memory_gbytes(device.threads, device.target);
  gpu::Device gpu = opened(device);
  return gpu::memory_gbytes(gpu);
}

double step_flops(const nn::Module& net, const Shape& images, Work work) {
  const graph::Graph graph =
      work == Work::infer
          ? nn::trace(net, images, Mode::eval)
          : compiler::training_step(nn::trace(net, images, Mode::train), compiler::StepKind::update);
  double flops = 0;
  for (const graph::Node& node : graph.nodes()) {
    const std::string_view op = node.op->name();
    if (!op.starts_with("conv2d") && !op.starts_with("linear")) continue;
    flops += ops::operation(node).cost(ops::OperandTypes(node, graph).signature()).flops;
  }
  return flops;
}

double peak_gflops(int threads, const std::string& isa, Precision precision) {
  const DType type = storage_of(precision);
  const Isa level =
      std::min(isa_named(isa).value_or(best_isa()), best_isa());  // what this machine has at most
  ThreadPool pool(threads);
  constexpr std::int64_t kTasksPerThread = 8;  // about 16 ms a try
  const auto kernel = kernels::make_peak(kTasksPerThread * threads, level, type);
  std::vector<AlignedBuffer> scratch;
  for (int thread = 0; thread < threads; ++thread) {
    scratch.emplace_back(static_cast<std::size_t>(kernel->scratch_bytes()));
  }
  double best = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    const auto begin = Clock::now();
    pool.parallel_for(kernel->tasks(0), [&](std::int64_t task, int thread) {
      kernels::Call call;
      call.scratch = scratch[static_cast<std::size_t>(thread)].data();
      kernel->run(call, 0, task);
    });
    const double flops = kernels::peak_flops_per_task(level, type) * static_cast<double>(kernel->tasks(0));
    best = std::max(best, flops / seconds_since(begin) / 1e9);
  }
  return best;
}

double memory_gbytes(int threads, const std::string& isa) {
  constexpr std::int64_t kElements = 32 << 20;  // 128 MiB an array
  ThreadPool pool(threads);
  const auto kernel = kernels::make_add(kElements, isa_named(isa).value_or(best_isa()));
  std::vector<AlignedBuffer> arrays;
  for (int i = 0; i < 3; ++i) arrays.emplace_back(kElements * sizeof(float));
  constexpr std::int64_t kSlice = kElements / 256;  // touched first by the threads that use them
  pool.parallel_for(kElements / kSlice, [&](std::int64_t slice, int) {
    for (const AlignedBuffer& array : arrays)
      std::fill_n(reinterpret_cast<float*>(array.data()) + slice * kSlice, kSlice, 0.0F);
  });
  const std::array<void*, 3> operands = {arrays[0].data(), arrays[1].data(), arrays[2].data()};
  kernels::Call call;
  call.operands = operands.data();
  double best = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    const auto begin = Clock::now();
    pool.parallel_for(kernel->tasks(0), [&](std::int64_t task, int) { kernel->run(call, 0, task); });
    best = std::max(best, 3.0 * kElements * sizeof(float) / seconds_since(begin) / 1e9);
  }
  return best;
}

}  // namespace resnet::bench

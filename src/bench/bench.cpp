#include "bench/bench.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/machine.h"
#include "base/random.h"
#include "compiler/training.h"
#include "engine/choice.h"
#include "engine/interpreter.h"
#include "gpu/peak.h"
#include "graph/names.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/peak/peak.h"
#include "ops/operation.h"
#include "resnet/data.h"
#include "tensor/thread_pool.h"

namespace resnet::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kWarmUp = 2;   // steps that do not count
constexpr std::int64_t kBatches = 4;  // in turn
constexpr float kLearningRate = 0.02F;

// Images that a network can tell apart: a wave for each class under noise; another batch each step.
data::Batch make_batch(const Shape& images, std::int64_t classes, std::int64_t step) {
  data::Batch batch;
  batch.images = Tensor(images);
  batch.labels = Tensor(Shape{images[0]}, DType::i32);
  const RandomStream noise(static_cast<std::uint64_t>(step), "bench/noise");
  const std::int64_t example = images.elements() / images[0];
  auto pixels = batch.images.values();
  auto labels = batch.labels.view<std::int32_t>();
  for (std::int64_t n = 0; n < images[0]; ++n) {
    const std::int64_t label = (n + step) % classes;
    labels[n] = static_cast<std::int32_t>(label);
    for (std::int64_t i = 0; i < example; ++i) {
      const double wave = std::sin(static_cast<double>(i) * 0.01 * static_cast<double>(label + 1));
      const auto at = static_cast<std::size_t>(n * example + i);
      pixels[at] = 0.5F + 0.25F * static_cast<float>(wave) + 0.25F * (noise.uniform(at) - 0.5F);
    }
  }
  return batch;
}

// Evaluation needs no graph of training, which some shapes do not allow.
Network network_for(const nn::Module& net, const Shape& images, Work work) {
  if (work == Work::train) return network_of(net, images);
  return {nn::trace(net, images, Mode::eval), std::nullopt, state_of(net)};
}

std::vector<data::Batch> make_batches(const Shape& images, std::int64_t classes) {
  std::vector<data::Batch> batches;
  for (std::int64_t i = 0; i < kBatches; ++i) batches.push_back(make_batch(images, classes, i));
  return batches;
}

engine::Values values_of(const Tensor& tensor) {
  return {tensor.values().begin(), tensor.values().end()};
}

/// l2; of a, where b is empty.
double distance(const engine::Values& a, const engine::Values& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = a[i] - (b.empty() ? 0.0 : b[i]);
    squares += d * d;
  }
  return std::sqrt(squares);
}

/// The gradients of a step, or the output of an evaluation, by name.
engine::NamedValues oracle(const Network& network, const data::Batch& batch, Work work, engine::Noise noise) {
  engine::NamedValues state;
  for (const auto& [name, tensor] : network.state) {
    if (tensor.dtype() == DType::f32) state[name] = values_of(tensor);
  }
  const auto labels = batch.labels.view<std::int32_t>().span();
  const engine::NamedValues inputs = {{graph::kImages, values_of(batch.images)},
                                      {compiler::kLabels, {labels.begin(), labels.end()}}};
  if (work == Work::infer) return engine::interpret(network.eval, inputs, state, noise);
  engine::interpret(compiler::training_step(*network.train, compiler::StepKind::gradients), inputs, state,
                    noise);
  return state;
}

/// Noise at every node, how many times the larger of two runs under it is accepted, and what of a tensor's
/// size never is: nothing that is missing or of the wrong sign (bf16: of the wrong sign) passes where the
/// network amplifies the noise to that.
struct Rounding {
  double noise, factor, most;
};
// As the zoo's tests: sums of products in f32 are off by a few 2^-24 of their size, Winograd's by up to
// 2^-20. Numbers stored as bf16 are by 2^-9 on average, which turns so many gates that few runs show what
// they do.
// Those of tf32 by 2^-12.
Rounding rounding_of(Precision precision) {
  switch (precision) {
    case Precision::bf16:
      return {0x1p-9, 1.5, 1.5};
    case Precision::tf32:
      return {0x1p-12, 1.5, 1.5};
    default:
      return {0x1p-20, 4, 0.25};
  }
}

// Opened once more, beside the engine.
gpu::Device opened(const DeviceInfo& device) {
  const engine::Choice choice = engine::choose_device({.device = device.kind});
  return gpu::Device(*choice.api, choice.number);
}

// What the device of an engine can do at most.
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

}  // namespace

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
  const Isa level = isa_named(isa).value_or(best_isa());
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

StepBench time_steps(const nn::Module& net, const Shape& images, std::int64_t classes, std::int64_t steps,
                     Work work, const EngineOptions& options) {
  const auto engine = make_engine(network_for(net, images, work), options);
  const std::vector<data::Batch> batches = make_batches(images, classes);

  StepBench result;
  result.device = engine->device();
  result.peak_gflops = peak_of(result.device, options.precision);
  std::vector<double> times;
  for (std::int64_t i = 0; i < kWarmUp + steps; ++i) {
    const data::Batch& batch = batches[static_cast<std::size_t>(i % kBatches)];
    const auto begin = Clock::now();
    if (work == Work::infer) {
      engine->infer(batch.images.view<float>());
    } else {
      engine->step(batch.images.view<float>(), batch.labels.view<std::int32_t>(), {kLearningRate});
    }
    if (i >= kWarmUp) times.push_back(seconds_since(begin) * 1e3);
  }
  result.peak_gflops = std::max(result.peak_gflops, peak_of(result.device, options.precision));
  std::sort(times.begin(), times.end());
  result.median_ms = times[times.size() / 2];
  result.min_ms = times.front();
  result.max_ms = times.back();
  const auto examples = static_cast<double>(images[0]);
  result.examples_per_second = examples / result.median_ms * 1e3;
  result.direct_flops = step_flops(net, images, work) / examples;
  result.direct_limit_examples_per_second = result.peak_gflops * 1e9 / result.direct_flops;
  result.fraction_of_direct_limit = result.examples_per_second / result.direct_limit_examples_per_second;
  result.arena_bytes = engine->arena_bytes();
  result.peak_rss_bytes = peak_rss_bytes();
  return result;
}

LayerBench time_layers(const nn::Module& net, const Shape& images, std::int64_t classes, std::int64_t steps,
                       const EngineOptions& options) {
  const auto engine = make_engine(network_of(net, images), options);
  const std::vector<data::Batch> batches = make_batches(images, classes);
  LayerBench result;
  result.device = engine->device();
  result.memory_gbytes = memory_of(result.device);
  for (std::int64_t i = 0; i < kWarmUp + steps; ++i) {
    const data::Batch& batch = batches[static_cast<std::size_t>(i % kBatches)];
    std::vector<CallTime> calls =
        engine->profile(batch.images.view<float>(), batch.labels.view<std::int32_t>(), {kLearningRate});
    if (i <= kWarmUp) {
      result.calls = std::move(calls);
      continue;
    }
    for (std::size_t k = 0; k < calls.size(); ++k) {
      result.calls[k].seconds = std::min(result.calls[k].seconds, calls[k].seconds);
    }
  }
  result.peak_gflops = peak_of(result.device, options.precision);
  return result;
}

Check check_against_reference(const nn::Module& net, const Shape& images, std::int64_t classes, Work work,
                              const EngineOptions& options) {
  constexpr std::int64_t kMostImages = 8;  // the oracle is slow
  const Shape small{std::min(images[0], kMostImages), images[1], images[2], images[3]};
  const Network network = network_for(net, small, work);
  const auto engine = make_engine(network, options);
  return check_against_reference(*engine, network, small, classes, work, options.precision);
}

Check check_against_reference(Engine& engine, const Network& network, const Shape& images,
                              std::int64_t classes, Work work, Precision precision) {
  const data::Batch batch = make_batch(images, classes, 0);
  engine::NamedValues actual;
  if (work == Work::infer) {
    actual[graph::kOutput] = values_of(engine.infer(batch.images.view<float>()));
  } else {
    engine.gradients(batch.images.view<float>(), batch.labels.view<std::int32_t>());
    for (const auto& [name, gradient] : engine.gradient_values())
      actual[compiler::gradient_name(name)] = values_of(gradient);
  }
  // What rounding may do to each tensor is measured, by running the oracle itself under noise of its size.
  const Rounding rounding = rounding_of(precision);
  const engine::NamedValues exact = oracle(network, batch, work, {});
  std::vector<engine::NamedValues> noisy;
  for (std::uint64_t seed = 1; seed <= 2; ++seed)
    noisy.push_back(oracle(network, batch, work, {rounding.noise, seed}));
  double largest = 0;
  for (const auto& [name, values] : actual) {
    if (const auto found = exact.find(name); found != exact.end())
      largest = std::max(largest, distance(found->second, {}));
  }
  Check worst;
  for (const auto& [name, values] : actual) {
    const auto found = exact.find(name);
    if (found == exact.end()) continue;  // zero by algebra
    const engine::Values& expected = found->second;
    // Tensors of next to nothing are measured by the largest.
    const double size = std::max(distance(expected, {}), 1e-3 * largest);
    double noise = 0;
    for (const engine::NamedValues& moved : noisy)
      noise = std::max(noise, distance(moved.at(name), expected));
    const Check check = {distance(values, expected) / size,
                         std::min(rounding.factor * noise / size, rounding.most), name};
    // Whatever is not a number is worst.
    if (worst.tensor.empty() || !(check.difference / check.tolerance <= worst.difference / worst.tolerance))
      worst = check;
  }
  return worst;
}

}  // namespace resnet::bench

// Measures, always beside the machine's peak of the same run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "resnet/data.h"
#include "resnet/engine.h"

namespace resnet::bench {

/// Sustained multiply-adds of this precision of `threads` threads on registers alone, GFLOP/s: best of a few
/// tries.
double peak_gflops(int threads, const std::string& isa, Precision precision);

/// Sustained bytes a second of `threads` threads adding two arrays larger than most caches into a third
/// (two read, one written), GB/s: best of a few tries. The arrays have 128 MiB each.
double memory_gbytes(int threads, const std::string& isa);

enum class Work : std::uint8_t { train, infer };

/// FLOPs of the direct convolutions and linear layers of one step on `images` [N,C,H,W].
double step_flops(const nn::Module& net, const Shape& images, Work work);

struct StepBench {
  double examples_per_second = 0;  // from the median step
  double median_ms = 0, min_ms = 0, max_ms = 0;
  double peak_gflops = 0;
  double direct_flops = 0;  // of the direct convolutions of one example
  double direct_limit_examples_per_second = 0;
  double fraction_of_direct_limit = 0;
  std::int64_t arena_bytes = 0, peak_rss_bytes = 0;
  DeviceInfo device;
};

/// Times, on the device of the options, `steps` whole training steps or evaluations (after two that do not
/// count) of a network on data that changes from step to step. `images` is [N,C,H,W].
StepBench time_steps(const nn::Module& net, const Shape& images, std::int64_t classes, std::int64_t steps,
                     Work work, const EngineOptions& options);

/// Each kernel call of a training step with the least of its times over `steps` steps, and what the
/// device can do.
struct LayerBench {
  std::vector<CallTime> calls;
  double peak_gflops = 0;
  double memory_gbytes = 0;
  DeviceInfo device;
};
LayerBench time_layers(const nn::Module& net, const Shape& images, std::int64_t classes, std::int64_t steps,
                       const EngineOptions& options);

/// What a loader does to an example, by its parts on one thread, and what its threads deliver.
struct LoaderBench {
  double decode_us = 0;     // an example, mean: read and decoded, or found in the data set's cache
  double transform_us = 0;  // resized, cut and changed
  double copy_us = 0;       // written as floats in the batch
  struct Rate {
    int threads = 0;
    double examples_per_second = 0;
  };
  std::vector<Rate> loaders;  // of one thread, and of options.threads if those are more
};

/// Each part over an epoch, or so many seconds of it. Where the data set has a cache, an epoch that does not
/// count fills it.
LoaderBench time_loader(const data::Dataset& dataset, const data::LoaderOptions& options, double seconds = 3);

/// The native gradients of a step, or the output of an evaluation, against the oracle in double, on at most
/// eight of the images: of the tensor that comes nearest to its tolerance, or exceeds it most.
struct Check {
  double difference = 0;  // l2, relative to the oracle's
  double tolerance = 0;  // a few times what the oracle itself moves under noise of the precision, and bounded
  std::string tensor;
  bool passed() const noexcept { return difference <= tolerance; }
};
Check check_against_reference(const nn::Module& net, const Shape& images, std::int64_t classes, Work work,
                              const EngineOptions& options);
/// The same of an engine that the caller made of `network`, on all of the images.
Check check_against_reference(Engine& engine, const Network& network, const Shape& images,
                              std::int64_t classes, Work work, Precision precision);

}  // namespace resnet::bench

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

/// Steps of an engine, or evaluations, after two that do not count, and on a GPU half a second of them. An
/// engine that may be ahead of its results is, on images that it holds, where it can.
struct StepTimes {
  std::vector<double> each;  // seconds, ascending; of one that is ahead from result to result
  double step_seconds = 0;   // the median; of an engine that is ahead, all of them by their number
  std::string timed;         // how they were asked for, and where the images were
};
StepTimes time_steps(Engine& engine, const Shape& images, std::int64_t classes, std::int64_t steps,
                     Work work);

struct StepBench {
  double examples_per_second = 0;  // of StepTimes::step_seconds
  double step_ms = 0;              // likewise
  double median_ms = 0, min_ms = 0, max_ms = 0;
  std::string timed;  // StepTimes::timed
  double peak_gflops = 0;
  double direct_flops = 0;  // of the direct convolutions of one example
  double direct_limit_examples_per_second = 0;
  double fraction_of_direct_limit = 0;
  std::int64_t arena_bytes = 0, peak_rss_bytes = 0;
  DeviceInfo device;
};

/// The same on the device of the options, of a network on data that changes from step to step. `images` is
/// [N,C,H,W].
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

/// Each part over an epoch, or `seconds` of it; what threads deliver in `seconds` of epochs, behind one, or as
/// many seconds of it, that does not count. Where the data set has a cache, another one fills it.
LoaderBench time_loader(const data::Dataset& dataset, const data::LoaderOptions& options, double seconds = 3);

}  // namespace resnet::bench

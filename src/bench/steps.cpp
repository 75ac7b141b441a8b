#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/machine.h"
#include "bench/batches.h"
#include "bench/bench.h"
#include "bench/devices.h"
#include "train/feed.h"

namespace resnet::bench {
namespace {

using engine::AheadEngine;

constexpr std::int64_t kWarmUp = 2;  // steps that do not count
constexpr double kGpuWarmUp = 0.5;   // and seconds of them on a GPU, whose clocks rise meanwhile
constexpr float kLearningRate = 0.02F;

// Calls `step` until what follows may be timed. The first one makes plans and memory.
void warm_up(const Engine& engine, const std::function<void()>& step) {
  step();
  const double least = engine.device().kind == "cpu" ? 0 : kGpuWarmUp;
  const auto begin = std::chrono::steady_clock::now();
  for (std::int64_t i = 1; i < kWarmUp || seconds_since(begin) < least; ++i) step();
}

// Steps, or evaluations, on a few batches in turn: as a trainer asks for them.
class Steps {
 public:
  Steps(Engine& engine, const Shape& images, std::int64_t classes, Work work)
      : engine_(engine), ahead_(train::ahead_of(engine)), work_(work) {
    if (ahead_ != nullptr && (images[1] == 1 || images[1] == 3)) hold(images, classes);
    if (!held_) batches_ = make_batches(images, classes, ImageLayout::nhwc);
  }
  ~Steps() {
    try {
      while (!under_way_.empty()) collect();
    } catch (const Error&) {  // of a device that has failed before
    }
  }
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;

  /// One more is done.
  void next() {
    if (ahead_ == nullptr) return step(batches_[asked_++ % kBatches]);
    while (std::ssize(under_way_) < ahead_->depth()) submit();
    collect();
  }
  std::string timed() const {
    if (ahead_ == nullptr) return "one by one";
    return fmt::format("{} under way at a time, images {}", ahead_->depth(),
                       held_ ? "as bytes on the device" : "in the host's memory");
  }
  bool is_ahead() const { return ahead_ != nullptr; }

 private:
  void hold(const Shape& images, std::int64_t classes) {
    const data::Dataset set = set_of_batches(images, classes);
    held_ = ahead_->hold(set);
    for (std::int64_t i = 0; held_ && i < set.size(); ++i)
      places_.push_back({.example = i, .label = set.label(i), .cut = {0, 0, images[2], images[3]}});
  }
  void step(const data::Batch& batch) {
    if (work_ == Work::infer) {
      engine_.infer(batch.view());
    } else {
      engine_.step(batch.view(), batch.labels.view<std::int32_t>(), {kLearningRate});
    }
  }
  void submit() {
    const std::size_t number = asked_++ % kBatches;
    if (held_) {
      const std::size_t size = places_.size() / kBatches;
      const engine::HeldBatch batch{.set = *held_, .examples = {places_.data() + number * size, size}};
      under_way_.push_back(work_ == Work::infer ? ahead_->submit(batch)
                                                : ahead_->submit(batch, StepInputs{kLearningRate}));
      return;
    }
    const data::Batch& batch = batches_[number];
    under_way_.push_back(
        work_ == Work::infer
            ? ahead_->submit(batch.view())
            : ahead_->submit(batch.view(), batch.labels.view<std::int32_t>(), StepInputs{kLearningRate}));
  }
  void collect() {
    const AheadEngine::Ticket oldest = under_way_.front();
    under_way_.pop_front();
    ahead_->collect(oldest);
  }

  Engine& engine_;
  AheadEngine* ahead_;
  Work work_;
  std::optional<int> held_;           // the set that the engine holds
  std::vector<data::Placed> places_;  // of its examples
  std::vector<data::Batch> batches_;
  std::size_t asked_ = 0;
  std::deque<AheadEngine::Ticket> under_way_;
};

}  // namespace

StepTimes time_steps(Engine& engine, const Shape& images, std::int64_t classes, std::int64_t steps,
                     Work work) {
  Steps all(engine, images, classes, work);
  warm_up(engine, [&] { all.next(); });
  StepTimes times;
  times.timed = all.timed();
  const auto begin = std::chrono::steady_clock::now();
  auto last = begin;
  for (std::int64_t i = 0; i < steps; ++i) {
    all.next();
    const auto now = std::chrono::steady_clock::now();
    times.each.push_back(seconds_between(last, now));
    last = now;
  }
  std::ranges::sort(times.each);
  times.step_seconds = all.is_ahead() ? seconds_between(begin, last) / static_cast<double>(steps)
                                      : times.each[times.each.size() / 2];
  return times;
}

StepBench time_steps(const nn::Module& net, const Shape& images, std::int64_t classes, std::int64_t steps,
                     Work work, const EngineOptions& options) {
  const auto engine = make_engine(network_for(net, images, work), options);
  StepBench result;
  result.device = engine->device();
  result.peak_gflops = peak_of(result.device, options.precision);
  const StepTimes times = time_steps(*engine, images, classes, steps, work);
  result.peak_gflops = std::max(result.peak_gflops, peak_of(result.device, options.precision));
  result.timed = times.timed;
  result.step_ms = times.step_seconds * 1e3;
  result.median_ms = times.each[times.each.size() / 2] * 1e3;
  result.min_ms = times.each.front() * 1e3;
  result.max_ms = times.each.back() * 1e3;
  const auto examples = static_cast<double>(images[0]);
  result.examples_per_second = examples / times.step_seconds;
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
  const std::vector<data::Batch> batches = make_batches(images, classes, ImageLayout::nhwc);
  LayerBench result;
  result.device = engine->device();
  result.memory_gbytes = memory_of(result.device);
  std::size_t number = 0;
  std::vector<CallTime> calls;
  const auto step = [&] {
    const data::Batch& batch = batches[number++ % kBatches];
    calls = engine->profile(batch.view(), batch.labels.view<std::int32_t>(), {kLearningRate});
  };
  warm_up(*engine, step);
  for (std::int64_t i = 0; i < steps; ++i) {
    step();
    if (i == 0) result.calls = calls;
    for (std::size_t k = 0; k < calls.size(); ++k)
      result.calls[k].seconds = std::min(result.calls[k].seconds, calls[k].seconds);
  }
  result.peak_gflops = peak_of(result.device, options.precision);
  return result;
}

}  // namespace resnet::bench

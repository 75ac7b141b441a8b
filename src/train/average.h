// The average of a network's state over the steps of a run.
#pragma once

#include "resnet/train.h"

namespace resnet::train {

class WeightAverage {
 public:
  explicit WeightAverage(const AverageOptions& options) : options_(options) {}

  bool on() const noexcept { return options_.decay > 0; }
  /// Whether it changes with step `step`, from 1, after which it is to be told.
  bool due(std::int64_t step) const noexcept { return on() && step % options_.every == 0; }
  /// After each step.
  void update(const Engine& engine, std::int64_t step);
  /// The average; the engine's own state while there is none.
  State state(const Engine& engine) const;

  // What it carries from step to step.
  const State& average() const noexcept { return average_; }
  std::int64_t updates() const noexcept { return updates_; }
  void restore(State average, std::int64_t updates) {
    average_ = std::move(average);
    updates_ = updates;
  }

 private:
  AverageOptions options_;
  std::int64_t updates_ = 0;
  State average_;
};

}  // namespace resnet::train

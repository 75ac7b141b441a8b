#include "train/time_plan.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "train/average.h"
#include "train/stepper.h"

namespace resnet::train {
namespace {

class Watch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

std::int64_t steps_within(double seconds, const Pace& pace, std::int64_t steps_per_epoch) {
  const double epoch = static_cast<double>(steps_per_epoch) * pace.step + pace.evaluation;
  const double epochs = std::floor(std::max(0.0, seconds) / epoch);
  const double rest = std::max(0.0, seconds) - epochs * epoch;
  const auto steps =
      static_cast<std::int64_t>(std::max(0.0, std::floor((rest - pace.evaluation) / pace.step)));
  return std::max<std::int64_t>(
      1, static_cast<std::int64_t>(epochs) * steps_per_epoch + std::min(steps, steps_per_epoch));
}

Pace PaceMeter::measure(const data::Order& order, double seconds) {
  const State before = engine_.state(StateScope::all);
  Pace pace;
  pace.step = step_seconds(order, seconds);
  if (!stopped()) pace.evaluation = evaluation_seconds(seconds / 2);
  engine_.set_state(before);
  return pace;
}

double PaceMeter::step_seconds(const data::Order& order, double seconds) {
  Stepper stepper(options_.accumulate, options_.clip_norm);
  WeightAverage average(options_.average);
  constexpr std::int64_t kUncounted = 2, kLeast = 3;  // the first step compiles, the second finds cold caches
  std::int64_t steps = 0;
  Watch counted;
  const Watch all;
  for (std::int64_t epoch = 0; !stopped(); ++epoch) {
    loader_.start(order, epoch);
    for (std::int64_t left = loader_.batches(); left > 0; --left) {
      const data::Batch* batch = loader_.next();
      if (batch == nullptr || stopped()) break;
      stepper.take(engine_, *batch, {}, left == 1);
      if (!stepper.stepped()) continue;
      average.update(engine_, ++steps);
      if (steps == kUncounted) counted = Watch();
      if (steps >= kUncounted + kLeast && all.seconds() >= seconds)
        return counted.seconds() / static_cast<double>(steps - kUncounted);
    }
  }
  return all.seconds();
}

double PaceMeter::evaluation_seconds(double seconds) {
  std::atomic<bool> enough{false};
  // The first batch compiles.
  evaluate(
      engine_, test_, options_.batch_size, &enough, [&](std::int64_t) { enough = true; }, options_.views);
  enough = false;
  const Watch watch;
  std::int64_t seen = 0;
  evaluate(
      engine_, test_, options_.batch_size, &enough,
      [&](std::int64_t examples) {
        seen = examples;
        enough = watch.seconds() >= seconds || stopped();
      },
      options_.views);
  return watch.seconds() * static_cast<double>(test_.size()) /
         static_cast<double>(std::max<std::int64_t>(1, seen));
}

}  // namespace resnet::train

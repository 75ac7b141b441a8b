#include "train/time_plan.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/clock.h"
#include "io/model_hash.h"
#include "train/average.h"
#include "train/batches.h"
#include "train/stepper.h"

namespace resnet::train {
namespace {

constexpr std::int64_t kMostSteps = std::int64_t{1} << 40;  // far beyond all runs

std::int64_t whole(double value) {
  return value > 0 ? static_cast<std::int64_t>(std::min(value, static_cast<double>(kMostSteps))) : 0;
}

double count(Views views) {
  return views == Views::one ? 1 : views == Views::flip ? 2 : 6;
}

double last_factor(const FitOptions& options) {
  return count(options.views) / count(views_between(options));
}

// The engine is as before, however the measuring ends.
template <class Measuring>
void untrained(Engine& engine, const State& before, const Measuring& measuring) {
  try {
    measuring();
  } catch (const DeviceError&) {  // its state is lost with it
    throw;
  } catch (...) {
    engine.set_state(before);
    throw;
  }
  engine.set_state(before);
}

}  // namespace

Views views_between(const FitOptions& options) noexcept {
  return options.patience > 0 ? options.views : Views::one;
}

Clock clock_of(const FitOptions& options) {
  return options.clock ? options.clock : steady_seconds;
}

double seconds_of(std::int64_t steps, const Pace& pace, std::int64_t steps_per_epoch, std::int64_t done) {
  const std::int64_t between = (steps - 1) / steps_per_epoch - done / steps_per_epoch;
  return static_cast<double>(steps - done) * pace.step + static_cast<double>(between) * pace.evaluation +
         pace.last_evaluation() + pace.end;
}

std::int64_t steps_within(double seconds, const Pace& pace, std::int64_t steps_per_epoch, std::int64_t done) {
  const double step = std::max(pace.step, 1e-9);
  double left = seconds - pace.end - pace.last_evaluation();  // for steps, and evaluations between them
  const std::int64_t of_epoch = steps_per_epoch - done % steps_per_epoch;
  std::int64_t steps = whole(left / step);
  if (steps > of_epoch) {
    left -= static_cast<double>(of_epoch) * step;
    const double epoch = pace.evaluation + static_cast<double>(steps_per_epoch) * step;
    const std::int64_t epochs = std::min(whole(left / epoch), kMostSteps / steps_per_epoch);
    left -= static_cast<double>(epochs) * epoch;
    const double rest = left >= pace.evaluation + step ? left - pace.evaluation : left;
    steps = of_epoch + epochs * steps_per_epoch + whole(rest / step);
  }
  return std::min(done + std::max<std::int64_t>(1, steps), kMostSteps);
}

TimePlan::TimePlan(double seconds, double end, const Pace& pace, std::int64_t steps_per_epoch, double now)
    : seconds_(seconds),
      end_(end),
      pace_(pace),
      evaluation_in_steps_(pace.evaluation / std::max(pace.step, 1e-9)),
      measured_evaluation_(evaluation_in_steps_),
      measured_test_(pace.test / std::max(pace.step, 1e-9)),
      test_in_steps_(measured_test_),
      steps_per_epoch_(steps_per_epoch),
      mark_(now) {}

double TimePlan::left_for_steps(double now) const {
  return std::max(0.0, end_ - now - pace_.last_evaluation() - pace_.end);
}

double TimePlan::interval(double now) const {
  return std::min(0.02 * seconds_, left_for_steps(now) / 4);
}

void TimePlan::learn(double now) {
  if (steps_ > 0) {
    const double taken = now - mark_, memory = interval(now);
    const double kept = memory > 0 ? std::exp(-taken / memory) : 0;
    known_steps_ = kept * known_steps_ + static_cast<double>(steps_);
    known_seconds_ = kept * known_seconds_ + taken;
    pace_.step = known_seconds_ / known_steps_;
    pace_.evaluation = evaluation_in_steps_ * pace_.step;
    pace_.test = test_in_steps_ * pace_.step;
  }
  mark_ = now;
  steps_ = 0;
}

std::optional<std::int64_t> TimePlan::look(double now, std::int64_t done, std::int64_t steps) {
  if (now - mark_ < interval(now)) return std::nullopt;
  learn(now);
  return decide(now, done, steps);
}

// What steps_within() takes for granted at the end of an epoch.
bool TimePlan::may_evaluate(double now) const {
  return end_ - now >= pace_.evaluation + pace_.step + pace_.last_evaluation() + pace_.end;
}

std::optional<std::int64_t> TimePlan::evaluated(double begin, double now, std::int64_t done,
                                                std::int64_t steps) {
  learn(begin);
  mark_ = now;
  pace_.evaluation = now - begin;
  evaluation_in_steps_ = pace_.evaluation / std::max(pace_.step, 1e-9);
  // What is slower than it was measured is so for both sets; what is faster may be in a cache by now, which the
  // test set is not.
  if (measured_evaluation_ > 0)
    test_in_steps_ = measured_test_ * std::max(1.0, evaluation_in_steps_ / measured_evaluation_);
  pace_.test = test_in_steps_ * pace_.step;
  return decide(now, done, steps);
}

// Little is said for a change while much time is left in which the pace may change again.
std::optional<std::int64_t> TimePlan::decide(double now, std::int64_t done, std::int64_t steps) const {
  if (done >= steps) return std::nullopt;
  const std::int64_t wanted = steps_within(end_ - now, pace_, steps_per_epoch_, done);
  const double off = static_cast<double>(std::abs(wanted - steps)) * pace_.step;
  if (off <= std::max(0.005 * seconds_, 0.05 * left_for_steps(now))) return std::nullopt;
  return wanted;
}

Pace PaceMeter::measure(const data::Order& order, double seconds) {
  const State before = engine_.state(StateScope::all);
  Pace pace;
  untrained(engine_, before, [&] {
    pace.step = step_size() * example_seconds(order, seconds, 2, 3);  // one compiles, one finds cold caches
    if (!stopped()) pace.evaluation = evaluation_seconds(watched_, seconds / 2);
    if (options_.validation && !stopped())
      pace.test = last_factor(options_) * evaluation_seconds(test_, seconds / 2);
  });
  pace.last_factor = last_factor(options_);
  pace.end = end_seconds(before);
  return pace;
}

Pace PaceMeter::estimate(const data::Order& order) {
  const State before = engine_.state(StateScope::all);
  Pace pace;
  double example = 0;
  untrained(engine_, before, [&] { example = example_seconds(order, 0, 1, 1); });
  pace.step = step_size() * example;
  const double picture = example / 3;
  pace.evaluation = picture * count(views_between(options_)) * static_cast<double>(watched_.size());
  pace.last_factor = last_factor(options_);
  if (options_.validation) pace.test = picture * count(options_.views) * static_cast<double>(test_.size());
  return pace;
}

double PaceMeter::step_size() const {
  return static_cast<double>(feed_.examples()) /
         static_cast<double>(steps_of(feed_.batches(), options_.accumulate));
}

double PaceMeter::example_seconds(const data::Order& order, double seconds, std::int64_t uncounted,
                                  std::int64_t least) {
  constexpr double kTooLong = 10;           // times the seconds: then one step must do
  constexpr std::int64_t kMostBatches = 2;  // of a step that is measured: it begins, adds, and ends
  Stepper stepper(std::min(options_.accumulate, kMostBatches), options_.clip_norm);
  std::int64_t steps = 0, examples = 0;  // those of the steps that count
  const double begin = clock_();
  double counted = begin;
  for (std::int64_t epoch = 0; !stopped(); ++epoch) {
    feed_.start(order, epoch);
    for (std::int64_t left = feed_.batches(); left > 0; --left) {
      const FedBatch* batch = feed_.next();
      if (batch == nullptr || stopped()) break;
      StepInputs inputs;
      inputs.average_share =
          average_share(options_.average, steps + 1, average_updates(options_.average, 0, steps));
      stepper.submit(engine_, *batch, inputs, left == 1);
      const BatchOutcome outcome = stepper.collect(engine_);
      examples += outcome.size;
      if (!outcome.ends) continue;  // an engine that can be ahead is a little faster
      if (++steps == uncounted) {
        counted = clock_();
        examples = 0;
      }
      const double now = clock_(), enough = steps >= uncounted + least ? seconds : kTooLong * seconds;
      if (steps > uncounted && now - begin >= enough) return (now - counted) / static_cast<double>(examples);
    }
  }
  return 0;
}

double PaceMeter::evaluation_seconds(const data::Dataset& set, double seconds) {
  std::atomic<bool> enough{false};
  EvaluateOptions options{.batch_size = options_.batch_size,
                          .views = views_between(options_),
                          .loader_threads = options_.loader_threads,
                          .prefetch = prefetch_,
                          .stop = &enough,
                          .seen = [&](std::int64_t) { enough = true; }};  // the first batch compiles
  evaluate(engine_, set, options);
  enough = false;
  const double begin = clock_();
  std::int64_t seen = 0;
  options.seen = [&](std::int64_t examples) {
    seen = examples;
    enough = clock_() - begin >= seconds || stopped();
  };
  evaluate(engine_, set, options);
  return (clock_() - begin) * static_cast<double>(set.size()) /
         static_cast<double>(std::max<std::int64_t>(1, seen));
}

// A hash of the weights, and a file of as many bytes.
double PaceMeter::end_seconds(const State& state) {
  const double begin = clock_();
  io::weights_sha256(state);
  return 2 * (clock_() - begin);
}

}  // namespace resnet::train

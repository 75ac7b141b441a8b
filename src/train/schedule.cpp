#include "resnet/schedule.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <string>

#include "resnet/error.h"

namespace resnet {
namespace {

void expect(bool fits, const char* field, const char* wanted) {
  if (!fits) throw ConfigError(std::string("ScheduleOptions::") + field + " is out of range", wanted);
}

bool within(double value, double least, double most) {
  return value >= least && value <= most;  // not a NaN
}

constexpr double kMost = 1e9;  // epochs, powers and factors are far below it

std::int64_t in_steps(double epochs, std::int64_t steps_per_epoch) {
  return std::llround(epochs * static_cast<double>(steps_per_epoch));
}

// From `a` to `b` on half a cosine; x in [0, 1].
double half_cosine(double a, double b, double x) {
  return b + (a - b) / 2 * (1 + std::cos(std::numbers::pi * x));
}

// Where a one-cycle stands: in its rise or its fall, and how far, in [0, 1]. PyTorch's ends are steps:
// peak * T - 1 and T - 1.
struct Phase {
  bool falls;
  double x;
};
Phase phase_of(double t, double all, double peak) {
  const double top = peak * all - 1;
  if (t <= top) return {false, top > 0 ? t / top : 1};
  const double length = all - 1 - top;
  return {true, length > 0 ? std::min(1.0, (t - top) / length) : 1};
}

}  // namespace

std::string step_plan_text(std::int64_t steps, std::span<const StepChange> changes) {
  std::string text = std::to_string(steps);
  for (const StepChange& change : changes)
    text += "," + std::to_string(change.from) + ":" + std::to_string(change.steps);
  return text;
}

std::int64_t warmup_steps(const ScheduleOptions& options, std::int64_t steps_per_epoch) {
  return in_steps(options.warmup_epochs, steps_per_epoch);
}

void check(const ScheduleOptions& options) {
  expect(within(options.warmup_epochs, 0, kMost), "warmup_epochs", "give a number of at least 0");
  expect(within(options.start, 0, kMost), "start", "give a number of at least 0");
  expect(within(options.final, 0, kMost), "final", "give a number of at least 0");
  expect(within(options.peak, 0, 1), "peak", "give a number from 0 to 1");
  expect(within(options.power, 0, kMost), "power", "give a number of at least 0");
  expect(within(options.gamma, 0, kMost), "gamma", "give a number of at least 0");
  expect(options.every_epochs > 0 && within(options.every_epochs, 0, kMost), "every_epochs",
         "give a number above 0");
  expect(!options.low_momentum || (*options.low_momentum >= 0 && *options.low_momentum < 1), "low_momentum",
         "give a number of at least 0 and below 1");
}

Schedule::Schedule(const ScheduleOptions& options, double lr, double momentum, std::int64_t steps,
                   std::int64_t steps_per_epoch)
    : options_(options), lr_(lr), momentum_(momentum), planned_(steps), steps_(steps) {
  check(options);
  if (steps < 1 || steps_per_epoch < 1) {
    throw ConfigError(
        "a schedule of " + std::to_string(steps) + " steps, " + std::to_string(steps_per_epoch) + " an epoch",
        "give at least one of each");
  }
  warmup_ = warmup_steps(options, steps_per_epoch);
  every_ = std::max<std::int64_t>(1, in_steps(options.every_epochs, steps_per_epoch));
  if (warmup_ > 0 && warmup_ >= steps) {
    throw ConfigError("ScheduleOptions::warmup_epochs is as long as the run: " + std::to_string(warmup_) +
                          " of " + std::to_string(steps) + " steps",
                      "give a shorter warm-up, or a longer run");
  }
  if (options.low_momentum && !(momentum > 0)) {
    throw ConfigError("ScheduleOptions::low_momentum for an optimiser without momentum",
                      "give SgdOptions::momentum a value above 0");
  }
}

double Schedule::factor(double t, double all) const {
  const auto& o = options_;
  switch (o.kind) {
    case ScheduleKind::constant:
      return 1;
    case ScheduleKind::step:
      return std::pow(o.gamma, std::floor(t / static_cast<double>(every_)));
    case ScheduleKind::cosine:
      return half_cosine(1, o.final, t / all);
    case ScheduleKind::one_cycle: {
      const Phase phase = phase_of(t, all, o.peak);
      return phase.falls ? half_cosine(1, o.final, phase.x) : half_cosine(o.start, 1, phase.x);
    }
    case ScheduleKind::polynomial:
      return o.final + (1 - o.final) * std::pow(1 - t / all, o.power);
    case ScheduleKind::triangular: {
      const double top = o.peak * all;
      if (t < top) return o.start + (1 - o.start) * t / top;
      return all > top ? 1 + (o.final - 1) * (t - top) / (all - top) : 1;
    }
  }
  return 1;
}

void Schedule::change(const StepChange& change) {
  if (change.from < stretches_.back().from || change.from >= steps_ || change.steps <= change.from) {
    throw ConfigError("a change of the steps at step " + std::to_string(change.from) + " to " +
                          std::to_string(change.steps) + " does not fit a run of " + std::to_string(steps_),
                      "give changes in their order, each before the run's end and to a later step");
  }
  const auto last = static_cast<double>(planned_ - 1),
             gaps = static_cast<double>(change.steps - 1 - change.from);
  const double at = gaps > 0 ? place(change.from) : last;
  stretches_.push_back({change.from, at, gaps > 0 ? (last - at) / gaps : 0});
  steps_ = change.steps;
}

double Schedule::place(std::int64_t step) const {
  const auto after = std::ranges::upper_bound(stretches_, step, {}, &Stretch::from);
  const Stretch& stretch = *std::prev(after);
  return std::min(static_cast<double>(planned_ - 1),
                  stretch.place + static_cast<double>(step - stretch.from) * stretch.pace);
}

StepInputs Schedule::at(std::int64_t step) const {
  StepInputs inputs;
  const double at = place(std::clamp<std::int64_t>(step, 0, steps_ - 1));
  const auto warmup = static_cast<double>(warmup_);
  const double t = at - warmup, all = static_cast<double>(planned_) - warmup;
  const double now = at < warmup ? options_.start + (1 - options_.start) * at / warmup : factor(t, all);
  inputs.lr = static_cast<float>(lr_ * now);
  if (options_.kind == ScheduleKind::one_cycle && options_.low_momentum) {
    const double high = momentum_, low = *options_.low_momentum;
    const Phase phase = phase_of(std::max(t, 0.0), all, options_.peak);
    inputs.momentum =
        static_cast<float>(phase.falls ? half_cosine(low, high, phase.x) : half_cosine(high, low, phase.x));
  }
  return inputs;
}

}  // namespace resnet

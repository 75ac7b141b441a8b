// How many steps fit into a time, and how a run that goes on keeps to it.
#pragma once

#include <functional>
#include <optional>

#include "resnet/train.h"
#include "train/feed.h"

namespace resnet::train {

using Clock = std::function<double()>;  // seconds
/// FitOptions::clock, or the machine's.
Clock clock_of(const FitOptions& options);

/// Wall time, seconds.
struct Pace {
  double step = 0;         // with the wait for its batches
  double evaluation = 0;   // of the whole set that is evaluated between epochs
  double last_factor = 1;  // how many times as long the last one takes
  double test = 0;         // of the test set behind that, where another set is evaluated between epochs
  double end = 0;          // from the last evaluation on: hashing and saving

  double last_evaluation() const noexcept { return last_factor * evaluation + test; }
};

/// Views of the evaluations between epochs: early stopping compares them with the last one, nothing else
/// does.
Views views_between(const FitOptions& options) noexcept;

/// How long steps `done` to `steps` take, with an evaluation after every epoch and after the last step.
double seconds_of(std::int64_t steps, const Pace& pace, std::int64_t steps_per_epoch, std::int64_t done = 0);

/// The most steps of a run that ends within `seconds` from step `done` on, at least `done` + 1. If there is
/// time for some steps but not for an evaluation before them, TimePlan::may_evaluate() refuses that.
std::int64_t steps_within(double seconds, const Pace& pace, std::int64_t steps_per_epoch,
                          std::int64_t done = 0);

/// Holds a run to its end: learns its pace, the last moments' more than what was before, and says when the
/// number of steps has to change. It looks every 2 % of the time and, towards the end, after every quarter of
/// what is left, so that a change of pace always leaves time to answer it.
class TimePlan {
 public:
  /// Of `seconds` in all, that end at `end` by the clock.
  TimePlan(double seconds, double end, const Pace& pace, std::int64_t steps_per_epoch, double now);

  double end() const noexcept { return end_; }
  /// A step is done.
  void count() { ++steps_; }
  /// After step `done`, within an epoch: the number of steps that is to replace `steps`, if any.
  std::optional<std::int64_t> look(double now, std::int64_t done, std::int64_t steps);
  /// Whether there is time for an evaluation after which the run goes on.
  bool may_evaluate(double now) const;
  /// After an evaluation from `begin` to `now`: as look().
  std::optional<std::int64_t> evaluated(double begin, double now, std::int64_t done, std::int64_t steps);

 private:
  double left_for_steps(double now) const;
  double interval(double now) const;
  void learn(double now);
  std::optional<std::int64_t> decide(double now, std::int64_t done, std::int64_t steps) const;

  double seconds_, end_;
  Pace pace_;
  double evaluation_in_steps_;  // a machine that is slower is so in all
  double measured_evaluation_, measured_test_, test_in_steps_;
  std::int64_t steps_per_epoch_;
  double mark_;                                 // when it looked, or evaluated
  std::int64_t steps_ = 0;                      // since then
  double known_steps_ = 0, known_seconds_ = 0;  // older ones count less
};

/// Measures the pace of an engine with steps that train nothing: its state is as before then.
class PaceMeter {
 public:
  /// `prefetch`: of evaluations.
  PaceMeter(Engine& engine, Feed& feed, const data::Dataset& test, const FitOptions& options, Clock clock,
            int prefetch)
      : engine_(engine),
        feed_(feed),
        test_(test),
        watched_(options.validation ? *options.validation : test),
        options_(options),
        clock_(std::move(clock)),
        prefetch_(prefetch) {}
  /// Steps and a part of an evaluation, for about `seconds`, each at least a few times.
  Pace measure(const data::Order& order, double seconds);
  /// Two steps; a picture's evaluation is taken for a third of its step, once for each view.
  Pace estimate(const data::Order& order);

 private:
  // Of an example in steps, the last short ones of an epoch among them; 0 where it was stopped.
  double example_seconds(const data::Order& order, double seconds, std::int64_t uncounted,
                         std::int64_t least);
  // Examples of a step, mean over an epoch.
  double step_size() const;
  double evaluation_seconds(const data::Dataset& set, double seconds);
  double end_seconds(const State& state);
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }

  Engine& engine_;
  Feed& feed_;
  const data::Dataset& test_;
  const data::Dataset& watched_;  // evaluated between epochs
  const FitOptions& options_;
  Clock clock_;
  int prefetch_;
};

}  // namespace resnet::train

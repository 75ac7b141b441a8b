// Runs that a time bounds, on machines with a clock of our own.
#include "train/time_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "resnet/train.h"
#include "support/scratch_folder.h"
#include "train/batches.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

using train::seconds_of;
using train::steps_within;

TEST(LoaderThreads, EachHasABatchInHand) {
  EXPECT_EQ(train::loader_threads(2), 1);
  EXPECT_EQ(train::loader_threads(64), 8);
  EXPECT_EQ(train::answering_threads(2), 2);
  EXPECT_EQ(train::answering_threads(64), 8);
  for (const int given : {1, 3, 40}) {
    EXPECT_EQ(train::loader_threads(2, given), given);
    EXPECT_EQ(train::answering_threads(2, given), given);
    EXPECT_EQ(train::loader_options({.loader_threads = given}).ahead(), std::max(given, 3));
    EXPECT_EQ(train::loader_options({.loader_threads = given}, 2).ahead(), 2);
  }
}

TEST(StepsWithin, FillTheTimeWithTheEvaluationsThatBelongToThem) {
  EXPECT_EQ(steps_within(100, {.step = 1, .evaluation = 0}, 10), 100);
  EXPECT_EQ(steps_within(100, {.step = 1, .evaluation = 10}, 10), 50);
  EXPECT_EQ(steps_within(115, {.step = 1, .evaluation = 10}, 10), 55);
  EXPECT_EQ(steps_within(115, {.step = 1, .evaluation = 10, .end = 3}, 10), 52);
  EXPECT_EQ(steps_within(120, {.step = 1, .evaluation = 10, .last_factor = 2, .end = 3}, 10), 57);
  EXPECT_EQ(steps_within(0, {.step = 1, .evaluation = 10}, 10), 1);
  EXPECT_EQ(steps_within(-5, {.step = 1, .evaluation = 10}, 10), 1);
  EXPECT_EQ(steps_within(NAN, {.step = 1, .evaluation = 10}, 10), 1);
  EXPECT_GT(steps_within(1e300, {.step = 1, .evaluation = 0}, 1 << 30), std::int64_t{1} << 39);
}

TEST(StepsWithin, LeaveOutAnEvaluationThatWouldEndTheRunEarly) {
  EXPECT_EQ(steps_within(107, {.step = 1, .evaluation = 10}, 10), 57) << "not after 50, but after 57";
}

TEST(StepsWithin, GoOnFromWithinAnEpoch) {
  train::Pace pace{.step = 1, .evaluation = 10};
  EXPECT_EQ(steps_within(15, pace, 10, 4), 9);
  EXPECT_EQ(steps_within(16, pace, 10, 4), 10);
  EXPECT_EQ(steps_within(31, pace, 10, 4), 15) << "6 steps, a test, 5 steps, a test";
  EXPECT_EQ(steps_within(20, pace, 10, 10), 20) << "the test of the first ten is done";
  for (const double last_factor : {1.0, 6.0}) {
    pace.last_factor = last_factor;
    for (std::int64_t done = 0; done < 30; ++done) {
      for (std::int64_t steps = done + 1; steps < 60; ++steps)
        EXPECT_EQ(steps_within(seconds_of(steps, pace, 10, done), pace, 10, done), steps) << done;
    }
  }
}

// A machine whose steps and evaluations take what it is told, by a clock that only they move.
struct Machine {
  double now = 5000;  // the clock's zero is anywhere
  double begin = now;
  std::function<double(double share)> slowness = [](double) { return 1.0; };  // by the share of the time
  std::function<double(std::int64_t examples)> step_seconds = [](std::int64_t) { return 1.0; };
  std::function<double(std::int64_t call)> test_seconds = [](std::int64_t) { return 0.25; };  // of an example
  double budget = 1000, spent = 0;
  double warmup = 0;                                     // epochs
  std::int64_t examples = 200, tests = 16, watched = 0;  // the last: of a validation set, if any
  std::int64_t inferred = 0;
  std::function<void(FitOptions&)> with = [](FitOptions&) {};  // what else the run has
  std::function<void()> started = [] {};                       // called when it begins

  struct Watch final : Observer {
    RunInfo run;
    std::int64_t replans = 0, evaluations = 0;
    std::function<void()> started;
    void on_start(const RunInfo& info) override {
      run = info;
      started();
    }
    void on_replan(const RunInfo& info) override {
      run = info;
      ++replans;
    }
    void on_epoch(const Progress&, double test_acc) override { evaluations += test_acc >= 0 ? 1 : 0; }
  };

  struct Outcome {
    FitResult result;
    std::vector<float> rates;  // of the run's own steps
    RunInfo run;
    std::int64_t replans = 0, evaluations = 0, warmup = 0;
  };

  FitOptions options() {
    FitOptions options{.epochs = 3, .batch_size = 4, .lr = 0.5F};
    options.schedule = {
        .kind = ScheduleKind::triangular, .warmup_epochs = warmup, .start = 0.2, .final = 0.07, .peak = 0.23};
    options.clock = [this] { return now; };
    if (watched > 0) options.validation = test::counted(watched);
    with(options);
    return options;
  }
  double factor() const { return slowness((now - begin + spent) / budget); }

  Outcome run(FitOptions options) {
    const auto log = std::make_shared<test::EngineLog>();
    log->stepping = [this](std::int64_t count) { now += step_seconds(count) * factor(); };
    log->inferring = [this](std::int64_t count) {
      now += static_cast<double>(count) * test_seconds(inferred++) * factor();
    };
    options.engine_factory = [&](Network network, const EngineOptions&) {
      return std::make_unique<test::ScriptedEngine>(std::move(network), log);
    };
    const auto watch = std::make_shared<Watch>();
    watch->started = started;
    options.observers = {watch};
    nn::Sequential net = test::tiny_network();
    Outcome outcome;
    outcome.result = fit(net, test::counted(examples), test::counted(tests), options);
    const auto all = std::ssize(log->rates);
    const auto steps =
        std::min(all, static_cast<std::ptrdiff_t>(outcome.result.steps));  // fewer where it goes on
    outcome.warmup = all - steps;
    outcome.rates.assign(log->rates.end() - steps, log->rates.end());
    outcome.run = watch->run;
    outcome.replans = watch->replans;
    outcome.evaluations = watch->evaluations;
    return outcome;
  }
  Outcome run_in_time() {
    FitOptions timed = options();
    timed.seconds = budget;
    timed.spent = spent;
    return run(timed);
  }
};

// It ends on time with the last rate of the schedule, and the steps that it had repeat it.
Machine::Outcome expect_on_time(Machine machine, const char* what) {
  SCOPED_TRACE(what);
  Machine other = machine;
  Machine::Outcome outcome = machine.run_in_time();
  EXPECT_NEAR(outcome.result.seconds, machine.budget, 0.02 * machine.budget) << outcome.result.step_plan;
  EXPECT_NEAR(machine.now - machine.begin + machine.spent, outcome.result.seconds, 1e-6);
  EXPECT_EQ(outcome.run.steps, outcome.result.steps);
  EXPECT_TRUE(outcome.result.complete);
  const FitOptions options = machine.options();
  const std::int64_t per_epoch = train::steps_of(machine.examples / options.batch_size, options.accumulate);
  const Schedule planned(options.schedule, 0.5, 0, outcome.run.planned_steps, per_epoch);
  EXPECT_EQ(outcome.rates.back(), planned.at(outcome.run.planned_steps - 1).lr);
  EXPECT_EQ(outcome.result.step_plan, step_plan_text(outcome.run.planned_steps, outcome.run.step_changes));

  FitOptions again = other.options();
  again.epochs = outcome.run.epochs;
  again.steps = outcome.run.planned_steps;
  again.step_changes = outcome.run.step_changes;
  const Machine::Outcome repeated = other.run(again);
  EXPECT_EQ(repeated.rates, outcome.rates);
  EXPECT_EQ(repeated.result.steps, outcome.result.steps);
  EXPECT_EQ(repeated.warmup, 0);
  return outcome;
}

TEST(Time, EndsOnTimeOnAMachineThatStaysAsItIs) {
  const Machine::Outcome outcome = expect_on_time({}, "even");
  EXPECT_EQ(outcome.replans, 0) << outcome.result.step_plan;
  EXPECT_LE(outcome.warmup, 10) << "1 % of the steps";
}

TEST(Time, EndsOnTimeOnAMachineThatChanges) {
  const auto slower_from = [](double when, double factor) {
    return [=](double share) { return share < when ? 1.0 : factor; };
  };
  Machine machine;
  machine.slowness = [](double share) { return share < 0.03 ? 5.0 : 1.0; };
  EXPECT_GT(expect_on_time(machine, "a slow start").replans, 0);
  for (const double when : {0.2, 0.5, 0.9, 0.97}) {
    for (const double factor : {2.0, 0.5}) {
      machine.slowness = slower_from(when, factor);
      const Machine::Outcome outcome = expect_on_time(machine, factor > 1 ? "slower" : "faster");
      EXPECT_LT(outcome.replans, 40) << outcome.result.step_plan;
    }
  }
  machine.slowness = [](double share) {
    return 1 + 0.5 * std::sin(40 * share) + 0.3 * std::sin(900 * share);
  };
  expect_on_time(machine, "restless");
}

TEST(Time, EndsOnTimeWhereEvaluationIsSlow) {
  Machine machine;
  machine.test_seconds = [](std::int64_t call) { return call < 2 ? 0.25 : 3.0; };  // 48 s, not 4
  expect_on_time(machine, "slower than in the warm-up");
  machine.test_seconds = [](std::int64_t) { return 4.0; };  // 64 s where an epoch takes 50
  const Machine::Outcome outcome = expect_on_time(machine, "longer than an epoch");
  EXPECT_LT(outcome.evaluations, 12);
  machine.budget = 300;
  expect_on_time(machine, "a fifth of the time");
  machine.budget = 60 + 5 * 2 + 3 * 64;  // hardly time for the warm-up
  machine.examples = 8;                  // two steps an epoch
  expect_on_time(machine, "many epochs that nobody evaluates");
}

TEST(Time, EndsOnTimeWithATestSetBehindTheLastEvaluation) {
  Machine machine;
  machine.watched = 8;
  machine.tests = 64;
  machine.test_seconds = [](std::int64_t call) { return call < 7 ? 0.25 : 1.0; };  // 64 s, not 16
  const Machine::Outcome outcome = expect_on_time(machine, "slower than in the warm-up");
  EXPECT_EQ(outcome.run.val_examples, 8);
  machine.test_seconds = [](std::int64_t) { return 0.25; };
  machine.with = [](FitOptions& options) { options.views = Views::flip_shift; };
  expect_on_time(machine, "with six views, 96 s and not 16");
}

TEST(Time, EndsOnTimeWithViewsAndWithStepsOfSeveralBatches) {
  Machine machine;
  machine.with = [](FitOptions& options) { options.views = Views::flip; };
  expect_on_time(machine, "mirrored at the end");
  machine.with = [](FitOptions& options) {
    options.views = Views::flip_shift;
    options.patience = 100;
  };
  expect_on_time(machine, "moved after every epoch");
  machine.with = [](FitOptions& options) { options.accumulate = 2; };
  EXPECT_LT(expect_on_time(machine, "of two batches").result.steps, 500);
}

// A step of ten batches takes a hundredth of the time: five of them would have been measured.
TEST(Time, MeasuresLittleOfStepsOfManyBatches) {
  Machine machine;
  machine.with = [](FitOptions& options) { options.accumulate = 10; };
  expect_on_time(machine, "of ten batches");
  machine.tests = 1;
  double told = 0;
  machine.started = [&] { told = machine.now; };
  machine.run_in_time();
  EXPECT_LT(told - machine.begin, 0.02 * machine.budget);
}

TEST(Time, EndsOnTimeWhereEachStepEndsAnEpoch) {
  Machine machine;
  machine.examples = 4;
  machine.test_seconds = [](std::int64_t) { return 4.0; };
  expect_on_time(machine, "an even machine");
  // An evaluation of 64 seconds that takes 128: it is left out as soon as the steps tell.
  machine.slowness = [](double share) { return share < 0.85 ? 1.0 : 2.0; };
  EXPECT_LT(machine.run_in_time().result.seconds, 1000 + 64);
}

TEST(Time, CountsWhatWasSpentBefore) {
  Machine machine;
  machine.spent = 300;
  EXPECT_LT(expect_on_time(machine, "data took 300 s to open").result.steps, 700);
}

// The schedule is that of the shortest run with such a warm-up, and all of it is compressed.
TEST(Time, EndsOnTimeBeforeTheWarmUpWouldHave) {
  Machine machine;
  machine.examples = 2000;  // 500 steps an epoch
  machine.budget = 250;
  machine.warmup = 1;
  const Machine::Outcome outcome = expect_on_time(machine, "half an epoch");
  EXPECT_EQ(outcome.run.planned_steps, 501);
  EXPECT_LT(outcome.result.steps, 250);
  EXPECT_EQ(outcome.run.step_changes.at(0).from, 0);
  for (std::size_t i = 1; i + 1 < outcome.rates.size(); ++i)
    EXPECT_GE(outcome.rates[i], outcome.rates[i - 1]) << i;
}

// Time is up before the first step: there is one, at the schedule's last rate, and an evaluation.
TEST(Time, TakesOneStepAtLeast) {
  Machine machine;
  machine.spent = 2000;
  const Machine::Outcome outcome = machine.run_in_time();
  EXPECT_EQ(outcome.result.steps, 1);
  EXPECT_TRUE(outcome.result.complete);
}

// A run of a machine with checkpoints, which is stopped after so large a share of its time.
struct Resumable {
  ScratchFolder scratch;
  std::atomic<bool> stop{false};
  Machine machine;
  FitOptions options = machine.options();

  explicit Resumable(double until) {
    options.checkpoints = {.folder = scratch.path(), .resume = true};
    options.seconds = 1000;
    options.stop = &stop;
    machine.slowness = [this, until](double share) {
      if (share > until) stop = true;
      return 1.0;
    };
  }
  Machine::Outcome run() { return machine.run(options); }
  // From now on nothing stops it.
  Machine::Outcome run_on() {
    machine.slowness = [](double) { return 1.0; };
    stop = false;
    return run();
  }
};

// A program that is started again after the end of its run has nothing to do, unless it is given more time.
TEST(Time, OfAFinishedRunMayGrow) {
  Resumable run(1e9);
  const Machine::Outcome first = run.run();
  EXPECT_TRUE(first.result.complete);
  const Machine::Outcome again = run.run();
  EXPECT_EQ(again.result.steps, first.result.steps);
  EXPECT_EQ(again.result.step_plan, first.result.step_plan);
  EXPECT_TRUE(again.result.complete);
  run.options.seconds = 2500;
  const Machine::Outcome longer = run.run();
  EXPECT_GT(longer.result.steps, 2 * first.result.steps);
  EXPECT_TRUE(longer.result.complete);
  EXPECT_NEAR(longer.result.seconds, 2500, 50);
}

// Nothing was measured then, and any plan would be absurd.
TEST(Time, StoppedInItsWarmUpLeavesThePlan) {
  Resumable run(0.3);
  const Machine::Outcome first = run.run();
  EXPECT_FALSE(first.result.complete);
  EXPECT_GT(first.result.steps, 0);
  run.options.seconds = 3000;
  const Machine::Outcome stopped = run.run();
  EXPECT_EQ(stopped.result.steps, first.result.steps);
  EXPECT_EQ(stopped.result.step_plan, first.result.step_plan);
  const Machine::Outcome last = run.run_on();
  EXPECT_TRUE(last.result.complete);
  EXPECT_NEAR(last.result.seconds, 3000, 60);
}

TEST(Time, GivenToAFinishedRunThatIsStoppedInItsWarmUpLeavesThePlan) {
  Resumable run(1e9);
  const Machine::Outcome first = run.run();
  run.options.seconds = 2500;
  run.stop = true;
  const Machine::Outcome stopped = run.run();
  EXPECT_EQ(stopped.result.steps, first.result.steps);
  EXPECT_EQ(stopped.result.step_plan, first.result.step_plan);
  EXPECT_FALSE(stopped.result.complete);
  const Machine::Outcome last = run.run_on();
  EXPECT_TRUE(last.result.complete);
  EXPECT_NEAR(last.result.seconds, 2500, 50);
}

TEST(Time, StoppedWhileItMeasuresTheEvaluationHasNoPlan) {
  Machine machine;
  machine.watched = 8;
  std::atomic<bool> stop{false};
  machine.test_seconds = [&](std::int64_t call) {
    if (call == 1) stop = true;  // the first one compiles
    return 0.25;
  };
  FitOptions options = machine.options();
  options.seconds = 1000;
  options.stop = &stop;
  const Machine::Outcome outcome = machine.run(options);
  EXPECT_EQ(machine.inferred, 2) << "the test set is not measured";
  EXPECT_FALSE(outcome.run.bounded);
  EXPECT_EQ(outcome.result.steps, 0);
  EXPECT_FALSE(outcome.result.complete);
}

TEST(Time, StoppedWithAValidationSetIsNotTested) {
  Resumable run(0.5);
  run.options.validation = test::counted(8);
  const Machine::Outcome stopped = run.run();
  EXPECT_FALSE(stopped.result.complete);
  EXPECT_TRUE(std::isnan(stopped.result.test_acc));
  const Machine::Outcome last = run.run_on();
  EXPECT_TRUE(last.result.complete);
  EXPECT_EQ(last.result.test_acc, 0.5);
}

// The planned evaluation of a run that was stopped behind its last step is all that is missing.
TEST(Time, StoppedInItsLastEvaluationIsEvaluated) {
  Resumable run(0.99);
  run.machine.test_seconds = [](std::int64_t) { return 2.0; };  // 32 s: the last steps are before 0.97
  const Machine::Outcome first = run.run();
  EXPECT_FALSE(first.result.complete);
  EXPECT_EQ(first.result.steps, first.run.steps) << "the case is another one";
  const Machine::Outcome last = run.run_on();
  EXPECT_TRUE(last.result.complete);
  EXPECT_EQ(last.result.steps, first.result.steps);
}

// What the validation set takes says nothing of the test set: its pictures are in a cache by then.
TEST(TimePlan, KeepsTheTimeOfATestSetThatIsSeenOnce) {
  train::TimePlan plan(1000, 1000, {.step = 1, .evaluation = 10, .test = 50}, 100, 0);
  for (int step = 0; step < 100; ++step) plan.count();
  EXPECT_EQ(plan.evaluated(100, 101, 100, 101),
            steps_within(899, {.step = 1, .evaluation = 1, .test = 50}, 100, 100));
}

TEST(TimePlan, KeepsThePaceWhereNothingWasSeen) {
  train::TimePlan plan(1000, 1000, {.step = 1, .evaluation = 0, .test = 50}, 100, 0);
  EXPECT_EQ(plan.look(500, 100, 200), steps_within(500, {.step = 1, .test = 50}, 100, 100)) << "no step";
  EXPECT_EQ(plan.evaluated(500, 600, 100, 500),
            steps_within(400, {.step = 1, .evaluation = 100, .test = 50}, 100, 100))
      << "no evaluation before";
  EXPECT_EQ(plan.look(700, 200, 200), std::nullopt) << "all steps are done";
}

TEST(Time, IsToldBeforeTheFirstStep) {
  Machine machine;
  EXPECT_NEAR(machine.run_in_time().run.seconds, 1000, 20);
}

TEST(Estimate, IsToldBeforeTheFirstStepOfALongRun) {
  Machine machine;
  machine.test_seconds = [](std::int64_t) { return 1.0 / 12; };  // a third of a step's
  FitOptions options = machine.options();
  EXPECT_EQ(machine.run(options).run.seconds, 0) << "only where it is asked for";
  options.estimate = true;
  const Machine::Outcome outcome = machine.run(options);
  EXPECT_FALSE(outcome.run.bounded);
  EXPECT_EQ(outcome.warmup, 2);
  EXPECT_NEAR(outcome.run.seconds, 3 * (50 + 16.0 / 12), 0.01);
  EXPECT_NEAR(outcome.run.seconds, outcome.result.seconds, 0.02 * outcome.result.seconds);
  machine.watched = 8;
  FitOptions validated = machine.options();
  validated.estimate = true;
  const Machine::Outcome tested = machine.run(validated);
  EXPECT_NEAR(tested.run.seconds, 3 * (50 + 8.0 / 12) + 16.0 / 12, 0.01);
  validated.views = Views::flip;
  const Machine::Outcome mirrored = machine.run(validated);
  EXPECT_NEAR(mirrored.run.seconds, 3 * 50 + (2 * 8.0 + 2 * 8.0 + 2 * 16.0) / 12, 0.01);
  options.steps = 19;
  const Machine::Outcome few = machine.run(options);
  EXPECT_EQ(few.run.seconds, 0);
  EXPECT_EQ(few.warmup, 0) << "two of nineteen would be too many";
}

// The second of the two measured steps is an epoch's last one, with one example of eight.
TEST(Estimate, ScalesAShortStepToTheMean) {
  Machine machine;
  machine.examples = 9;
  machine.step_seconds = [](std::int64_t examples) { return static_cast<double>(examples); };
  machine.test_seconds = [](std::int64_t) { return 1.0 / 3; };
  FitOptions options = machine.options();
  options.epochs = 10;
  options.batch_size = 8;
  options.estimate = true;
  const Machine::Outcome outcome = machine.run(options);
  EXPECT_EQ(outcome.warmup, 2);
  EXPECT_EQ(outcome.result.steps, 20);
  EXPECT_NEAR(outcome.run.seconds, outcome.result.seconds - 9, 0.3 * outcome.result.seconds) << "9: measured";
}

// Rates of the steps of a plan.
std::vector<float> rates_of(const Schedule& schedule) {
  std::vector<float> rates;
  for (std::int64_t step = 0; step < schedule.steps(); ++step) rates.push_back(schedule.at(step).lr);
  return rates;
}

TEST(Schedule, IsStretchedAndCompressedToANewEnd) {
  for (const ScheduleKind kind :
       {ScheduleKind::cosine, ScheduleKind::one_cycle, ScheduleKind::triangular, ScheduleKind::polynomial}) {
    const ScheduleOptions options{.kind = kind, .warmup_epochs = 1, .final = 0.01};
    const Schedule original(options, 1, 0, 100, 10);
    Schedule changed = original;
    changed.change({40, 200});
    changed.change({60, 90});
    EXPECT_EQ(changed.steps(), 90);
    for (std::int64_t step = 0; step <= 40; ++step) EXPECT_EQ(changed.at(step).lr, original.at(step).lr);
    EXPECT_EQ(changed.at(89).lr, original.at(99).lr);
    EXPECT_EQ(changed.at(200).lr, original.at(99).lr);
    // A step of the slow part goes 59 / 159 of one, so that no rate jumps.
    const double place = 40 + 20 * 59.0 / 159;
    EXPECT_LE(changed.at(60).lr, original.at(static_cast<std::int64_t>(place)).lr);
    EXPECT_GE(changed.at(60).lr, original.at(static_cast<std::int64_t>(place) + 1).lr);
    for (std::int64_t step = 41; step < 90; ++step) EXPECT_LE(changed.at(step).lr, changed.at(step - 1).lr);
  }
}

TEST(Schedule, OfAChangeThatChangesNothingHasTheSameBits) {
  const ScheduleOptions options{.kind = ScheduleKind::one_cycle, .low_momentum = 0.8};
  const Schedule original(options, 0.2, 0.9, 77, 10);
  Schedule changed = original;
  changed.change({30, 77});
  EXPECT_EQ(rates_of(changed), rates_of(original));
}

TEST(Schedule, ChangedToOneMoreStepTakesTheLastOne) {
  const Schedule original({.kind = ScheduleKind::cosine}, 1, 0, 100, 10);
  Schedule changed = original;
  changed.change({40, 41});
  EXPECT_EQ(changed.at(40).lr, original.at(99).lr);
  EXPECT_EQ(changed.steps(), 41);
}

TEST(Schedule, RefusesChangesThatDoNotFit) {
  Schedule schedule({.kind = ScheduleKind::cosine}, 1, 0, 100, 10);
  EXPECT_THROW(schedule.change({100, 200}), ConfigError);
  EXPECT_THROW(schedule.change({40, 40}), ConfigError);
  EXPECT_THROW(schedule.change({-1, 40}), ConfigError);
  schedule.change({40, 50});
  EXPECT_THROW(schedule.change({39, 60}), ConfigError);
  EXPECT_THROW(schedule.change({50, 60}), ConfigError);
}

}  // namespace
}  // namespace resnet

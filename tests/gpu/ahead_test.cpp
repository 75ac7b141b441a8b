// An engine that is ahead of its results: training and evaluation as on one that is not, bit for bit, on a
// set that the device holds and on images that are copied to it. The emulated device does its work as late as
// it can.
#include "engine/ahead.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "gpu/held_case.h"
#include "support/scratch_folder.h"
#include "train/feed.h"

namespace resnet {
namespace {

using engine::AheadEngine;
using testing::HasSubstr;

const data::Preprocessing kPreprocessing{.resize = 7, .normalization = {{0.5}, {0.25}}};

data::Dataset training_set() {
  return test::bytes_of(22, {1, 5, 5}, kPreprocessing);
}
data::Dataset test_set() {
  return test::bytes_of(7, {1, 5, 5}, kPreprocessing, 2);
}

// With running statistics and dropout's stream.
nn::Sequential small_network() {
  nn::Sequential net(nn::Conv2d{1, 4, {.kernel = 3, .padding = 1}}, nn::BatchNorm2d{4}, nn::ReLU{},
                     nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Dropout{0.2}, nn::Linear{4, 3});
  nn::init(net, net.scheme(), 3);
  return net;
}

// How a run's batches come to the engine.
enum class Way : std::uint8_t { held, copied, step_by_step };

// All that an observer is told, but for times.
class Told final : public Observer {
 public:
  void on_start(const RunInfo& run) override {
    info = run;
    add("start {}", run.done_steps);
  }
  void on_replan(const RunInfo& run) override { info = run; }
  void on_step(const Progress& p) override {
    add("step {} of epoch {}: {} {} {} {}", p.step, p.epoch, p.batch, p.examples, p.loss, p.train_acc);
    if (stop_at > 0 && p.step == stop_at) stop = true;
  }
  void on_point(const CurvePoint& p) override {
    add("point {} {} {} {}", p.x, p.loss, p.train_acc, p.test_acc);
  }
  void on_epoch(const Progress& p, double test_acc) override { add("epoch {}: {}", p.epoch, test_acc); }
  void on_nonfinite(const Diagnosis& d) override {
    add("{}, batch {} of epoch {}, examples from {} on, lr {}, left {}, {} {} {}", to_string(d), d.batch,
        d.epoch, d.examples.at(0), d.lr, d.left ? to_string(*d.left) : "", d.skipped, d.rollbacks, d.outcome);
    ++nonfinite;
  }

  std::vector<std::string> all;
  RunInfo info;
  std::int64_t stop_at = 0;
  std::atomic<bool> stop{false};
  int nonfinite = 0;

 private:
  template <class... Values>
  void add(fmt::format_string<const Values&...> text, const Values&... values) {
    all.push_back(fmt::format(text, values...));
  }
};

struct RunOf {
  std::string hash;
  FitResult result;
  std::shared_ptr<Told> told = std::make_shared<Told>();
  std::string error;
};

RunOf run(Way way, FitOptions options, std::int64_t stop_at = 0, const resnet_device_api* api = nullptr) {
  RunOf run;
  run.told->stop_at = stop_at;
  options.observers = {run.told};
  options.stop = &run.told->stop;
  options.engine_factory = [&](Network network, const EngineOptions& engine) -> std::unique_ptr<Engine> {
    const resnet_device_api& device = api != nullptr ? *api : test::tested_device();
    if (way == Way::step_by_step)
      return std::make_unique<test::StepByStep>(
          engine::make_gpu_engine(std::move(network), engine, device, 0));
    return test::late_engine(std::move(network), engine, device);
  };
  const data::Dataset train = training_set(), test = test_set();
  nn::Sequential net = small_network();
  try {
    run.result = fit(net, way == Way::copied ? test::decoded(train) : train,
                     way == Way::copied ? test::decoded(test) : test, options);
    run.hash = run.result.weights_sha256;
  } catch (const Error& error) {
    run.error = error.what();
  }
  return run;
}

FitOptions options_of(std::int64_t epochs) {
  FitOptions options{.epochs = epochs, .batch_size = 4, .lr = 0.05F, .seed = 7};
  options.optimizer.method = SgdOptions{.momentum = 0.9};
  return options;
}

void expect_same_runs(const FitOptions& options) {
  const RunOf expected = run(Way::step_by_step, options);
  ASSERT_EQ(expected.error, "");
  for (const Way way : {Way::held, Way::copied}) {
    const RunOf got = run(way, options);
    EXPECT_EQ(got.error, "");
    EXPECT_EQ(got.told->all, expected.told->all);
    EXPECT_EQ(got.hash, expected.hash);
    EXPECT_EQ(got.result.steps, expected.result.steps);
    EXPECT_EQ(got.result.test_acc, expected.result.test_acc);
  }
}

// 22 examples in batches of four: the last one has two.
TEST(AheadOfResults, ARunIsThatOfAnEngineThatIsNot) {
  expect_same_runs(options_of(3));
}

TEST(AheadOfResults, ARunWithRandomTransformsAndViewsIsTheSame) {
  FitOptions options = options_of(2);
  options.augment = {data::PaddingCrop{2}, data::AlternatingFlip{}, data::Cutout{3}};
  options.views = Views::flip_shift;
  options.drop_last = true;
  expect_same_runs(options);
}

TEST(AheadOfResults, WhatWantsTheEngineAfterAStepFindsItThere) {
  FitOptions options = options_of(2);
  options.average = {.decay = 0.9, .every = 2};  // one update or two are under way
  options.patience = 1;
  options.balanced = true;
  expect_same_runs(options);
}

TEST(AheadOfResults, AStepOfSeveralBatchesIsNotAheadAndTheSame) {
  FitOptions options = options_of(2);
  options.accumulate = 2;
  options.clip_norm = 0.5;
  expect_same_runs(options);
}

TEST(AheadOfResults, ARunHasTheStepsThatItShallHave) {
  FitOptions options = options_of(3);
  options.steps = 8;
  expect_same_runs(options);
}

TEST(AheadOfResults, ASetForWhichThereIsNoRoomIsCopiedBatchByBatch) {
  resnet_device_api full = test::tested_device();
  full.facts = [](std::int32_t device, resnet_device_facts* facts) {
    const int status = test::tested_device().facts(device, facts);
    facts->free_bytes = (1 << 28) + 2000;  // what sets leave free, and little more
    return status;
  };
  const RunOf expected = run(Way::step_by_step, options_of(2)), got = run(Way::held, options_of(2), 0, &full);
  EXPECT_EQ(got.told->all, expected.told->all);
  EXPECT_EQ(got.hash, expected.hash);
  const auto engine = test::late_engine(network_of(small_network(), {4, 1, 7, 7}), {}, full);
  EXPECT_EQ(train::ahead_of(*engine)->hold(training_set()), std::nullopt);
}

// The clock goes on with every look at it, later faster.
TEST(AheadOfResults, AChangeOfPlanIsRepeatedFromItsStepOn) {
  FitOptions options = options_of(1);
  options.schedule.kind = ScheduleKind::cosine;
  FitOptions timed = options;
  timed.seconds = 5;
  int looks = 0;
  timed.clock = [&looks] {
    ++looks;
    return 0.02 * looks + 0.04 * std::max(0, looks - 60);
  };
  const RunOf first = run(Way::held, timed);
  ASSERT_FALSE(first.told->info.step_changes.empty());
  options.epochs = first.told->info.epochs;
  options.steps = first.told->info.planned_steps;
  options.step_changes = first.told->info.step_changes;
  const RunOf again = run(Way::step_by_step, options);
  EXPECT_EQ(again.hash, first.hash);
  EXPECT_EQ(again.result.steps, first.result.steps);
}

// The rate is so large that the numbers leave f32 after some steps.
TEST(AheadOfResults, AStepThatIsNotFiniteIsFoundAsItIsWithoutBeingAhead) {
  for (const OnNan policy : {OnNan::stop, OnNan::skip, OnNan::rollback}) {
    FitOptions options = options_of(3);
    options.lr = 3e9F;
    options.on_nan = policy;
    options.average = {.decay = 0.9, .every = 2};
    const RunOf expected = run(Way::step_by_step, options);
    EXPECT_GT(expected.told->nonfinite, 0);
    const auto first =
        std::ranges::find_if(expected.told->all, [](const auto& line) { return line[0] == 't'; });
    EXPECT_GT(first - expected.told->all.begin(), 2) << "it is too early to tell";
    for (const Way way : {Way::held, Way::copied}) {
      const RunOf got = run(way, options);
      EXPECT_EQ(got.told->all, expected.told->all);
      EXPECT_EQ(got.error, expected.error);
      EXPECT_EQ(got.hash, expected.hash);
    }
  }
}

TEST(AheadOfResults, ARunGoesOnFromACheckpointInMidEpoch) {
  const RunOf whole = run(Way::held, options_of(3));
  for (const std::int64_t stop_at : {2, 7}) {
    const ScratchFolder scratch;
    FitOptions options = options_of(3);
    options.checkpoints = {
        .folder = scratch / "run", .every_steps = 3, .every_seconds = 0, .every_epoch = false};
    const RunOf first = run(Way::held, options, stop_at);
    EXPECT_GE(first.result.steps, stop_at);
    EXPECT_LE(first.result.steps, stop_at + 2) << "two steps were under way";
    options.checkpoints.resume = true;
    const RunOf second = run(Way::held, options);
    EXPECT_EQ(second.hash, whole.hash);
    EXPECT_EQ(second.told->all.front(), fmt::format("start {}", first.result.steps));
  }
}

TEST(AheadOfResults, CheckpointsAreOfTheStepsOfWhichTheyShallBe) {
  std::vector<std::string> names[2];
  for (const Way way : {Way::held, Way::step_by_step}) {
    const ScratchFolder scratch;
    FitOptions options = options_of(2);
    options.checkpoints = {
        .folder = scratch / "run", .every_steps = 4, .every_seconds = 0, .every_epoch = false, .keep = 10};
    run(way, options);
    for (const auto& path : checkpoints_in(options.checkpoints.folder))
      names[way == Way::held ? 0 : 1].push_back(path.filename());
  }
  EXPECT_EQ(names[0], names[1]);
  EXPECT_EQ(names[0].size(), 3U) << "of steps 4, 8 and 12";
}

struct Engines {
  Network network = network_of(small_network(), {4, 1, 7, 7});
  std::unique_ptr<PlannedEngine> late = test::late_engine(network, {});
  std::unique_ptr<PlannedEngine> other = engine::make_gpu_engine(network, {}, test::tested_device(), 0);
  AheadEngine& ahead = *train::ahead_of(*late);
};

TEST(AheadEngine, GivesResultsInOrderAndLeavesItsCallersMemoryAlone) {
  Engines engines;
  Tensor images = random_uniform(Shape{4, 1, 7, 7}, 1);
  Tensor labels(Shape{4}, DType::i32);
  std::vector<StepResult> expected;
  std::vector<AheadEngine::Ticket> tickets;
  for (int i = 0; i < 3; ++i) {
    for (const bool later : {false, true}) {  // the same batches for both
      Engine& engine = later ? *engines.late : *engines.other;
      if (later) {
        tickets.push_back(engines.ahead.submit(images.view<float>(), labels.view<std::int32_t>(), {0.1F}));
      } else {
        expected.push_back(engine.step(images.view<float>(), labels.view<std::int32_t>(), {0.1F}));
      }
    }
    for (float& value : images.values()) value = 1 - value * value;
    labels.view<std::int32_t>()[i] = i % 3;
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const engine::Outcome got = engines.ahead.collect(tickets[i]);
    EXPECT_EQ(got.result.loss_sum, expected[i].loss_sum);
    EXPECT_EQ(got.result.correct, expected[i].correct);
    EXPECT_TRUE(got.finite);
  }
  EXPECT_THROW(engines.ahead.collect(tickets[0]), ConfigError);
  const Tensor a = engines.late->infer(images.view<float>()), b = engines.other->infer(images.view<float>());
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0);
}

TEST(AheadEngine, OtherCallsFindAllThatWasSubmittedDone) {
  Engines engines;
  const Tensor images = random_uniform(Shape{4, 1, 7, 7}, 1);
  const Tensor labels(Shape{4}, DType::i32);
  for (int i = 0; i < 2; ++i) {
    engines.ahead.submit(images.view<float>(), labels.view<std::int32_t>(), {0.1F});
    engines.other->step(images.view<float>(), labels.view<std::int32_t>(), {0.1F});
  }
  const State a = engines.late->state(StateScope::all), b = engines.other->state(StateScope::all);
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_EQ(std::memcmp(a[i].second.raw(), b[i].second.raw(), a[i].second.bytes()), 0) << a[i].first;
}

TEST(AheadEngine, SeveralThreadsEvaluateWithIt) {
  const Engines engines;
  const data::Dataset set = test_set();
  const Evaluation expected = evaluate(*engines.other, set, {.batch_size = 2});
  std::array<Evaluation, 3> got;
  std::vector<std::thread> threads;
  for (Evaluation& evaluation : got)
    threads.emplace_back([&] { evaluation = evaluate(*engines.late, set, {.batch_size = 2}); });
  for (std::thread& thread : threads) thread.join();
  for (const Evaluation& evaluation : got) {
    EXPECT_EQ(evaluation.loss, expected.loss);
    EXPECT_EQ(evaluation.test_acc, expected.test_acc);
    ASSERT_EQ(evaluation.answers.size(), expected.answers.size());
    for (std::size_t i = 0; i < expected.answers.size(); ++i)
      EXPECT_EQ(evaluation.answers[i].probability, expected.answers[i].probability);
  }
}

TEST(AheadEngine, HoldsASetOnceAndKeepsItWhereItIs) {
  Engines engines;
  const data::Dataset set = training_set();
  EXPECT_EQ(engines.ahead.hold(set), 0);
  EXPECT_EQ(engines.ahead.hold(test_set()), 1);
  EXPECT_EQ(engines.ahead.hold(data::Dataset(set)), 0);
  EXPECT_EQ(engines.ahead.hold(set.first(5)), 2);
  EXPECT_EQ(engines.ahead.resized_size(0).height, 7);
  const data::Placed wrong{.label = 3, .cut = {0, 0, 7, 7}};
  EXPECT_THROW(engines.ahead.submit({.examples = {&wrong, 1}}, StepInputs{0.1F}), ShapeError);
}

TEST(AheadEngine, SaysWhatTheDeviceSaysWhereItFails) {
  static bool broken = false;
  resnet_device_api failing = test::tested_device();
  failing.wait = [](resnet_event* event) { return broken ? 7 : test::tested_device().wait(event); };
  failing.error = [] { return "the device fell off the bus"; };
  const auto engine = test::late_engine(network_of(small_network(), {4, 1, 7, 7}), {}, failing);
  const Tensor images = random_uniform(Shape{4, 1, 7, 7}, 1);
  const Tensor labels(Shape{4}, DType::i32);
  const auto ticket =
      train::ahead_of(*engine)->submit(images.view<float>(), labels.view<std::int32_t>(), {0.1F});
  broken = true;
  try {
    train::ahead_of(*engine)->collect(ticket);
    ADD_FAILURE() << "it did not throw";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("failed while computing: the device fell off the bus"));
  }
  broken = false;
}

}  // namespace
}  // namespace resnet

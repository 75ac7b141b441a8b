// The training loop: what it averages, tells and keeps, on an engine whose answers are known; and that it
// trains with any engine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <sstream>
#include <utility>

#include "support/networks.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

using test::counted;
using test::EngineLog;
using testing::ElementsAre;

// What an observer was told, a line an event.
class Recorder final : public Observer {
 public:
  void on_start(const RunInfo& run) override {
    info = run;
    add("start");
  }
  void on_step(const Progress& progress) override {
    steps.push_back(progress);
    add("step " + std::to_string(progress.epoch) + "/" + std::to_string(progress.batch));
    if (static_cast<int>(steps.size()) == stop_at) stop = true;
    if (static_cast<int>(steps.size()) == fail_at) throw IoError("the disk is full");
  }
  void on_point(const CurvePoint& point) override {
    points.push_back(point);
    add(point.test_acc < 0 ? "point" : "point with test");
  }
  void on_epoch(const Progress& progress, double) override { add("epoch " + std::to_string(progress.epoch)); }
  void on_finish(const FitResult&) override { add("finish"); }

  RunInfo info;
  std::vector<Progress> steps;
  std::vector<CurvePoint> points;
  std::vector<std::string> events;
  std::atomic<bool> stop{false};
  int stop_at = 0, fail_at = 0;

 private:
  void add(std::string event) { events.push_back(std::move(event)); }
};

// Pictures of which only the first few can be read.
class Failing final : public data::Dataset::Source {
 public:
  std::int64_t size() const override { return 80; }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i % 2); }
  void image(std::int64_t i, data::Image& out) const override {
    if (++read_ > 4) throw IoError("the disk is gone");
    out.height = out.width = 4;
    out.channels = 1;
    out.pixels.assign(16, static_cast<std::uint8_t>(i));
  }

 private:
  mutable std::atomic<int> read_{0};
};

// Runs on the scripted engine.
struct Scripted {
  nn::Sequential net = test::tiny_network();
  std::shared_ptr<EngineLog> log = std::make_shared<EngineLog>();
  std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();

  FitOptions options(std::int64_t epochs) {
    FitOptions options{.epochs = epochs, .batch_size = 4, .lr = 0.25F, .observers = {recorder}};
    options.stop = &recorder->stop;
    options.engine_factory = [log = log](Network network, const EngineOptions& engine) {
      log->options = engine;
      return std::make_unique<test::ScriptedEngine>(std::move(network), log);
    };
    return options;
  }
  float first_bias() { return state_of(net).back().second.values()[0]; }
};

TEST(Fit, AveragesOverTheExamplesOfTheEpoch) {
  Scripted run;
  const FitResult result = fit(run.net, counted(10), counted(6), run.options(2));
  const auto& steps = run.recorder->steps;
  ASSERT_EQ(steps.size(), 6U);
  // Means 1, 2, 3 over 4, 4 and 2 examples; correct 1, 2, 3. Then 4, 5, 6 anew.
  EXPECT_DOUBLE_EQ(steps[0].loss, 1);
  EXPECT_DOUBLE_EQ(steps[1].loss, (4 * 1 + 4 * 2) / 8.0);
  EXPECT_DOUBLE_EQ(steps[2].loss, (4 * 1 + 4 * 2 + 2 * 3) / 10.0);
  EXPECT_DOUBLE_EQ(steps[2].train_acc, (1 + 2 + 3) / 10.0);
  EXPECT_EQ(steps[2].examples, 10);
  EXPECT_DOUBLE_EQ(steps[3].loss, 4);
  EXPECT_DOUBLE_EQ(result.loss, (4 * 4 + 4 * 5 + 2 * 6) / 10.0);
  EXPECT_DOUBLE_EQ(result.train_acc, (4 + 5 + 6) / 10.0);
  EXPECT_DOUBLE_EQ(result.test_acc, 0.5);  // all are taken for class 0
  EXPECT_GT(result.examples_per_second, 0);
}

TEST(Fit, LeavesTheNetworkAsItWasWhereItsWarmUpFails) {
  for (const bool estimate : {true, false}) {
    nn::Sequential net(nn::BatchNorm2d{1}, nn::Flatten{}, nn::Linear{16, 2});
    nn::init(net, nn::Scheme::chapter, 1);
    const State before = state_of(net);
    FitOptions options{.epochs = 1, .batch_size = 4};
    options.engine.threads = 1;
    if (estimate) {
      options.estimate = true;
    } else {
      options.seconds = 60;
    }
    const data::Dataset train(std::make_shared<Failing>(), "failing", counted(6).classes(),
                              counted(6).preprocessing(), Shape{1, 4, 4});
    EXPECT_THROW(fit(net, train, counted(6), options), IoError);
    const State after = state_of(net);
    for (std::size_t i = 0; i < before.size(); ++i) {
      const Tensor &is = after[i].second, &was = before[i].second;
      EXPECT_EQ(std::memcmp(is.raw(), was.raw(), was.bytes()), 0) << before[i].first;
    }
  }
}

TEST(Fit, GivesWhatBelongsToItsFigures) {
  Scripted run;
  FitOptions options = run.options(2);
  options.seed = 11;
  const FitResult result = fit(run.net, counted(10), counted(6), options);
  EXPECT_EQ(result.epochs, 2);
  EXPECT_EQ(result.steps, 6);
  EXPECT_EQ(result.seed, 11U);
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.device, "abacus");
  EXPECT_EQ(result.cpu_model, "beads");
  EXPECT_EQ(result.isa, "wood");
  EXPECT_EQ(result.threads, 3);
  EXPECT_EQ(result.weights_sha256.size(), 64U);
  EXPECT_EQ(run.recorder->info.device.kind, "abacus");
  EXPECT_EQ(run.recorder->info.batches, 3);
  EXPECT_EQ(run.recorder->info.steps, 6);
  EXPECT_EQ(run.recorder->info.train_examples, 10);
  EXPECT_EQ(run.recorder->info.test_examples, 6);
  EXPECT_EQ(run.recorder->info.dataset, "levels");
  EXPECT_EQ(run.first_bias(), 6) << "the network has what the engine trained";
}

TEST(Fit, TellsEveryEventInOrder) {
  Scripted run;
  fit(run.net, counted(10), counted(6), run.options(2));
  EXPECT_THAT(run.recorder->events,
              ElementsAre("start",                                               //
                          "step 0/1", "point", "step 0/2", "point", "step 0/3",  //
                          "point with test", "epoch 0",                          //
                          "step 1/1", "point", "step 1/2", "point", "step 1/3",  //
                          "point with test", "epoch 1", "finish"));
  EXPECT_DOUBLE_EQ(run.recorder->points[0].x, 1 / 3.0);
  EXPECT_DOUBLE_EQ(run.recorder->points[5].x, 2);
}

TEST(Fit, TellsTheRateOfTheEpochAndOfLateAndThatOfAllAtTheEnd) {
  Scripted run;
  double now = 1000;
  bool began = false;
  run.log->stepping = [&](std::int64_t) { now += std::exchange(began, true) ? 0.001 : 0.1; };
  FitOptions options = run.options(2);
  options.clock = [&] { return now; };
  const FitResult result = fit(run.net, counted(40), counted(6), options);
  const Progress &first = run.recorder->steps[9], &second = run.recorder->steps[19];
  EXPECT_EQ(second.epoch, 1);
  EXPECT_NEAR(first.examples_per_second, 40 / 0.109, 1e-6);
  EXPECT_NEAR(second.examples_per_second, 40 / 0.01, 1e-6) << "the slow step is of the first epoch";
  EXPECT_NEAR(result.examples_per_second, 80 / 0.119, 1e-6) << "all steps count";
  EXPECT_NEAR(first.recent_examples_per_second / first.examples_per_second, 1, 0.02) << "within ten seconds";
}

TEST(Fit, TellsHowFarATestHasCome) {
  Scripted run;
  struct Tests final : Observer {
    std::vector<std::int64_t> tested;
    void on_evaluation(const Progress& progress, std::int64_t count, std::int64_t) override {
      EXPECT_EQ(progress.batch, 3);
      tested.push_back(count);
    }
  };
  const auto tests = std::make_shared<Tests>();
  FitOptions options = run.options(2);
  options.observers.push_back(tests);
  fit(run.net, counted(10), counted(6), options);
  EXPECT_THAT(tests->tested, ElementsAre(0, 4, 6, 0, 4, 6));
}

TEST(Fit, HasThePointsOfTheChapter) {
  Scripted run;
  fit(run.net, counted(48), counted(2), run.options(1));
  // Twelve batches: every second one, and the last.
  std::vector<double> x;
  for (const CurvePoint& point : run.recorder->points) x.push_back(point.x * 12);
  EXPECT_THAT(x, testing::Pointwise(testing::DoubleNear(1e-12), {2.0, 4.0, 6.0, 8.0, 10.0, 12.0}));
}

TEST(Fit, EndsAfterSoManySteps) {
  Scripted run;
  FitOptions options = run.options(5);
  options.steps = 4;
  const FitResult result = fit(run.net, counted(10), counted(6), options);
  EXPECT_EQ(run.recorder->info.steps, 4);
  EXPECT_EQ(result.steps, 4);
  EXPECT_EQ(result.epochs, 1);
  EXPECT_TRUE(result.complete);
  EXPECT_DOUBLE_EQ(result.loss, 4) << "of the epoch that had begun";
  EXPECT_DOUBLE_EQ(result.test_acc, 0.5) << "measured after the last step";
  EXPECT_EQ(run.log->batches.size(), 4U);
}

TEST(Fit, FinishesTheStepAndReturnsWhenItIsToStop) {
  Scripted run;
  run.recorder->stop_at = 5;
  const FitResult result = fit(run.net, counted(10), counted(6), run.options(9));
  EXPECT_EQ(result.steps, 5);
  EXPECT_EQ(result.epochs, 1);
  EXPECT_FALSE(result.complete);
  EXPECT_TRUE(std::isnan(result.test_acc));
  EXPECT_EQ(run.recorder->events.back(), "finish");
  EXPECT_EQ(run.first_bias(), 5);
}

TEST(Fit, StoppedBeforeItsFirstStepHasMeasuredNothing) {
  Scripted run;
  run.recorder->stop = true;
  const FitResult result = fit(run.net, counted(10), counted(6), run.options(9));
  EXPECT_EQ(result.steps, 0);
  EXPECT_FALSE(result.complete);
  for (const double figure : {result.loss, result.train_acc, result.test_acc, result.examples_per_second}) {
    EXPECT_TRUE(std::isnan(figure)) << figure;
  }
  std::ostringstream text;
  text << result;
  EXPECT_EQ(text.str(),
            "loss not measured, train acc not measured, test acc not measured\n"
            "examples/sec not measured on " +
                result.device + "\n");
  EXPECT_EQ(run.recorder->events, (std::vector<std::string>{"start", "finish"}));
}

TEST(Fit, KeepsWhatWasTrainedWhenAnObserverFails) {
  Scripted run;
  run.recorder->fail_at = 5;
  EXPECT_THROW(fit(run.net, counted(10), counted(6), run.options(9)), IoError);
  EXPECT_EQ(run.first_bias(), 5);
}

// What was trained is gone with it: the network has its first values, and the error is the device's.
TEST(Fit, GivesNothingThatItCannotHaveWhenTheDeviceFails) {
  Scripted run;
  nn::init(run.net, run.net.scheme(), 0);
  run.log->stepping = [&run](std::int64_t) {
    if (run.log->batches.size() == 3) throw DeviceError("cuda:0 failed while computing: it is gone");
  };
  const float before = run.first_bias();
  try {
    fit(run.net, counted(10), counted(6), run.options(9));
    ADD_FAILURE() << "it did not throw";
  } catch (const DeviceError& error) {
    EXPECT_STREQ(error.what(), "cuda:0 failed while computing: it is gone");
  }
  EXPECT_EQ(run.first_bias(), before);
}

TEST(Fit, FailsWhenTheLossIsNoLongerFinite) {
  Scripted run;
  FitOptions options = run.options(1);
  class Diverging final : public test::IdleEngine {
   public:
    using IdleEngine::IdleEngine;
    StepResult step(const ImageView&, const Targets&, const StepInputs&) override {
      return {std::numeric_limits<double>::infinity(), 0};
    }
  };
  options.engine_factory = [](Network network, const EngineOptions&) {
    return std::make_unique<Diverging>(std::move(network.state));
  };
  try {
    fit(run.net, counted(4), counted(2), options);
    FAIL() << "went on";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("no longer finite"));
  }
}

TEST(Fit, ShowsEveryExampleOnceAnEpochInAnOrderOfItsSeed) {
  const auto order = [](std::uint64_t seed) {
    Scripted run;
    FitOptions options = run.options(2);
    options.seed = seed;
    fit(run.net, counted(10), counted(2), options);
    EXPECT_EQ(run.log->options.seed, seed);
    std::vector<int> result;
    for (const auto& batch : run.log->batches) result.insert(result.end(), batch.begin(), batch.end());
    return result;
  };
  const std::vector<int> first = order(1);
  ASSERT_EQ(first.size(), 20U);
  const auto middle = first.begin() + 10;
  EXPECT_EQ(std::set<int>(first.begin(), middle).size(), 10U);
  EXPECT_EQ(std::set<int>(middle, first.end()).size(), 10U);
  EXPECT_FALSE(std::equal(first.begin(), middle, middle)) << "a new order every epoch";
  EXPECT_EQ(order(1), first);
  EXPECT_NE(order(2), first);
}

TEST(Fit, TakesTheLearningRateAndTheOptimizer) {
  Scripted run;
  FitOptions options = run.options(1);
  options.optimizer.method = AdamWOptions{.beta1 = 0.5};
  fit(run.net, counted(8), counted(2), options);
  EXPECT_THAT(run.log->rates, ElementsAre(0.25F, 0.25F));
  EXPECT_EQ(std::get<AdamWOptions>(run.log->options.optimizer.method).beta1, 0.5);
}

TEST(Fit, InitialisesWhatIsUnsetAlone) {
  Scripted run;
  nn::init(run.net, nn::Scheme::chapter, 5);
  const State before = state_of(run.net);
  FitOptions options = run.options(1);
  options.seed = 6;
  fit(run.net, counted(4), counted(2), options);
  const State after = state_of(run.net);
  EXPECT_THAT(after[0].second.values(), testing::ElementsAreArray(before[0].second.values()));
}

TEST(Fit, TakesAsManyEpochsAsANumberHolds) {
  Scripted run;
  FitOptions options = run.options(std::numeric_limits<std::int64_t>::max());
  options.batch_size = 2;
  options.steps = 3;
  EXPECT_EQ(fit(run.net, counted(4), counted(2), options).steps, 3);
  options.steps = 0;
  options.patience = 2;  // and no number that a checkpoint cannot hold
  EXPECT_GT(fit(run.net, counted(4), counted(2), options).steps, 3);
}

TEST(Fit, RefusesWhatCannotBe) {
  const auto refused = [](auto change) {
    Scripted run;
    FitOptions options = run.options(1);
    change(options);
    try {
      fit(run.net, counted(4), counted(2), options);
    } catch (const ConfigError&) {
      return true;
    }
    return false;
  };
  EXPECT_FALSE(refused([](FitOptions&) {}));
  EXPECT_TRUE(refused([](FitOptions& o) { o.epochs = 0; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.batch_size = 0; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.steps = -1; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.lr = -0.1F; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.lr = std::numeric_limits<float>::quiet_NaN(); }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.optimizer.method = SgdOptions{.momentum = -1}; }));
  Scripted run;
  EXPECT_THROW(fit(run.net, counted(0), counted(2), run.options(1)), ConfigError);
  EXPECT_THROW(fit(run.net, counted(4), counted(0), run.options(1)), ConfigError);
  nn::Sequential wider(nn::Flatten{}, nn::Linear{25, 2});
  EXPECT_THROW(fit(wider, counted(4), counted(2), run.options(1)), ShapeError);
}

TEST(Fit, RefusesALastBatchThatTheNetworkCannotTake) {
  Scripted run;
  // One value for each channel: no variance.
  nn::Sequential net(nn::GlobalAvgPool2d{}, nn::BatchNorm2d{1}, nn::Flatten{}, nn::Linear{1, 2});
  EXPECT_THROW(fit(net, counted(9), counted(2), run.options(1)), ShapeError);
  EXPECT_TRUE(run.recorder->events.empty());
}

nn::Sequential convolutional() {
  return nn::Sequential(nn::Conv2d{1, 4, {.padding = 1}}, nn::BatchNorm2d{4}, nn::ReLU{},
                        nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{4, 2});
}

// Dark images are of class 0, bright ones of class 1.
data::Dataset dark_and_bright() {
  std::vector<std::uint8_t> levels;
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 30; ++i) {
    levels.push_back(static_cast<std::uint8_t>(i % 2 == 0 ? 10 + i : 200 + i));
    labels.push_back(i % 2);
  }
  return test::levels_of(std::move(levels), std::move(labels), 2);
}

TEST(Fit, TrainsWithTheReferenceEngineAsWithTheNativeOne) {
  for (const OptimizerOptions& optimizer :
       {OptimizerOptions{}, OptimizerOptions{.method = AdamWOptions{.weight_decay = 0.1}}}) {
    State states[2];
    for (const bool reference : {true, false}) {
      nn::Sequential net = convolutional();
      FitOptions options{.epochs = 4, .batch_size = 8, .lr = 0.05F, .seed = 3};
      options.optimizer = optimizer;
      if (reference) options.engine_factory = make_reference_engine;
      const auto recorder = std::make_shared<Recorder>();
      options.observers = {recorder};
      const FitResult result = fit(net, dark_and_bright(), dark_and_bright(), options);
      EXPECT_EQ(result.isa == "reference", reference);
      EXPECT_LT(result.loss, 0.8 * recorder->steps[0].loss);
      EvaluateOptions evaluating;
      evaluating.engine_factory = options.engine_factory;
      const Evaluation evaluation = evaluate(net, dark_and_bright(), evaluating);
      EXPECT_DOUBLE_EQ(evaluation.test_acc, result.test_acc);
      states[reference ? 1 : 0] = state_of(net);
    }
    test::expect_states_near(states[0], states[1], 1e-4);
  }
}

}  // namespace
}  // namespace resnet

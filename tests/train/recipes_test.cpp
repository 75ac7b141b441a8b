// What fit() does beside the chapter's loop: accumulation, clipping, schedules, averages, patience, a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <sstream>

#include "report/run_record.h"
#include "support/networks.h"
#include "train/average.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

using testing::ElementsAre;

// Without a norm, so that a batch in parts is the batch.
nn::Sequential plain_network() {
  nn::Sequential net(nn::Conv2d{1, 3, {.padding = 1}}, nn::SiLU{}, nn::Flatten{}, nn::Linear{48, 2});
  nn::init(net, nn::Scheme::chapter, 3);
  return net;
}

data::Dataset bright(int count) {
  std::vector<std::uint8_t> levels;
  std::vector<std::int32_t> labels;
  for (int i = 0; i < count; ++i) {
    levels.push_back(static_cast<std::uint8_t>(i % 2 == 0 ? 10 + i : 200 - i));
    labels.push_back(i % 2);
  }
  return test::levels_of(std::move(levels), std::move(labels), 2);
}

struct Trained {
  State state;
  FitResult result;
};

Trained train(FitOptions options, int examples = 24) {
  nn::Sequential net = plain_network();
  const FitResult result = fit(net, bright(examples), bright(10), options);
  return {state_of(net), result};
}

double largest_difference(const State& a, const State& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < a[i].second.values().size(); ++j) {
      const auto difference =
          static_cast<double>(a[i].second.values()[j]) - static_cast<double>(b[i].second.values()[j]);
      most = std::max(most, std::abs(difference));
    }
  }
  return most;
}

FitOptions one_epoch() {
  FitOptions options{.epochs = 2, .batch_size = 12, .lr = 0.1F, .seed = 5};
  options.engine.threads = 1;
  return options;
}

TEST(Accumulation, IsTheLargeBatchWhereNoNormIsBetween) {
  FitOptions whole = one_epoch(), parts = one_epoch();
  parts.batch_size = 4;
  parts.accumulate = 3;
  const Trained large = train(whole), small = train(parts);
  EXPECT_EQ(large.result.steps, 4);
  EXPECT_EQ(small.result.steps, 4);
  // Sums of 12 terms in another order, four steps.
  EXPECT_LT(largest_difference(large.state, small.state), 12 * 4 * 0x1p-23);
  EXPECT_NEAR(large.result.loss, small.result.loss, 1e-6);
}

TEST(Accumulation, OfMoreBatchesThanAnEpochHasIsAStepAnEpoch) {
  FitOptions options = one_epoch();  // two of them
  options.accumulate = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(train(options).result.steps, 2);
}

TEST(Accumulation, EndsAStepWithTheEpochAndWeighsByExamples) {
  FitOptions whole = one_epoch(), parts = one_epoch();
  whole.batch_size = 16;  // 16 and 4 of 20
  parts.batch_size = 8;   // 8 and 8; 4
  parts.accumulate = 2;
  EXPECT_EQ(train(parts, 20).result.steps, 4);
  EXPECT_LT(largest_difference(train(whole, 20).state, train(parts, 20).state), 16 * 4 * 0x1p-23);
  FitOptions uneven = one_epoch(), even = one_epoch();
  uneven.batch_size = 12;  // 12 and 8 of 20 in one step
  uneven.accumulate = 2;
  even.batch_size = 20;
  EXPECT_LT(largest_difference(train(uneven, 20).state, train(even, 20).state), 20 * 2 * 0x1p-23);
}

TEST(Clipping, BoundsTheStepByTheNormOfAllGradients) {
  FitOptions options = one_epoch();
  options.epochs = 1;
  options.steps = 1;
  options.lr = 1;
  const State before = state_of(plain_network());
  const auto moved = [&](double clip) {
    options.clip_norm = clip;
    const State after = train(options).state;
    double squares = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      for (std::size_t j = 0; j < before[i].second.values().size(); ++j) {
        const auto step = static_cast<double>(after[i].second.values()[j]) -
                          static_cast<double>(before[i].second.values()[j]);
        squares += step * step;
      }
    }
    return std::sqrt(squares);
  };
  const double norm = moved(0);  // plain SGD at rate 1 moves by the gradient
  ASSERT_GT(norm, 0.01);
  EXPECT_NEAR(moved(norm / 4), norm / 4 * norm / (norm + 1e-6), 1e-5 * norm) << "clip_grad_norm_";
  EXPECT_NEAR(moved(2 * norm), norm, 1e-6 * norm) << "which is short enough";
}

// Runs on the scripted engine, whose first bias is the number of steps.
struct Scripted {
  nn::Sequential net = test::tiny_network();
  std::shared_ptr<test::EngineLog> log = std::make_shared<test::EngineLog>();

  FitOptions options(std::int64_t epochs) {
    FitOptions options{.epochs = epochs, .batch_size = 4, .lr = 0.5F};
    options.engine_factory = [log = log](Network network, const EngineOptions& engine) {
      log->options = engine;
      return std::make_unique<test::ScriptedEngine>(std::move(network), log);
    };
    return options;
  }
  float first_bias() { return state_of(net).back().second.values()[0]; }
};

TEST(Fit, TakesTheRatesOfItsSchedule) {
  Scripted run;
  FitOptions options = run.options(2);
  options.schedule = {
      .kind = ScheduleKind::triangular, .warmup_epochs = 0, .start = 0, .final = 0, .peak = 0.5};
  fit(run.net, test::counted(8), test::counted(4), options);
  EXPECT_THAT(run.log->rates, ElementsAre(0, 0.25F, 0.5F, 0.25F));
}

TEST(Fit, GivesTheEngineItsLoss) {
  Scripted run;
  FitOptions options = run.options(1);
  options.loss = {.label_smoothing = 0.1, .class_weights = {1, 2}};
  fit(run.net, test::counted(8), test::counted(4), options);
  EXPECT_EQ(run.log->options.loss.label_smoothing, 0.1);
  EXPECT_EQ(run.log->options.loss.class_weights, (std::vector<double>{1, 2}));
}

TEST(Fit, TakesTheViewsOfTheLastEvaluationUnlessAllAreCompared) {
  std::optional<data::Dataset> validation;
  const auto inferred = [&validation](std::int64_t patience) {
    Scripted run;
    FitOptions options = run.options(3);
    options.views = Views::flip;
    options.validation = validation;
    options.patience = patience;
    std::int64_t examples = 0;
    run.log->inferring = [&](std::int64_t count) { examples += count; };
    fit(run.net, test::counted(8), test::counted(4), options);
    return examples;
  };
  EXPECT_EQ(inferred(0), 4 + 4 + 2 * 4);
  EXPECT_EQ(inferred(9), 3 * 2 * 4);
  validation = test::counted(3);
  EXPECT_EQ(inferred(0), 3 + 3 + 2 * 3 + 2 * 4) << "and the test set behind it";
  EXPECT_EQ(inferred(9), 3 * 2 * 3 + 2 * 4);
}

// No accuracy, and never the best one.
TEST(Fit, AnEvaluationThatIsNotFiniteIsNotMeasured) {
  for (const std::int64_t patience : {0, 2}) {
    for (const bool validated : {false, true}) {
      Scripted run;
      FitOptions options = run.options(2);
      options.patience = patience;
      if (validated) options.validation = test::counted(4);
      options.engine_factory = [log = run.log](Network network, const EngineOptions&) {
        const std::vector<float> logits = {0, std::numeric_limits<float>::quiet_NaN()};
        return std::make_unique<test::ScriptedEngine>(std::move(network), log, std::vector(4, logits));
      };
      const FitResult result = fit(run.net, test::counted(8), test::counted(4), options);
      EXPECT_TRUE(std::isnan(result.test_acc)) << result.test_acc;
      EXPECT_TRUE(std::isnan(result.val_acc)) << result.val_acc;
      EXPECT_EQ(result.best_epoch, 0);
      EXPECT_EQ(result.steps, 4);
      EXPECT_TRUE(result.complete);
    }
  }
}

TEST(Average, IsTheOneOfItsFormula) {
  Scripted run;
  FitOptions options = run.options(3);
  options.average = {.decay = 0.5, .every = 1};
  fit(run.net, test::counted(8), test::counted(4), options);
  // Steps 1 to 6; update n keeps min(0.5, n / (n + 9)).
  double average = 1;
  for (int n = 2; n <= 6; ++n) {
    const double kept = std::min(0.5, n / (n + 9.0));
    average = kept * average + (1 - kept) * n;
  }
  EXPECT_NEAR(static_cast<double>(run.first_bias()), average, 1e-5);
}

// Whatever ends a run, what it gives is what its evaluations saw.
TEST(Average, IsWhatARunThatFailsGives) {
  Scripted run;
  FitOptions options = run.options(3);
  options.average = {.decay = 0.5, .every = 1};
  fit(run.net, test::counted(8), test::counted(4), options);
  const float whole = run.first_bias();
  run.log->batches.clear();
  run.log->stepping = [&run](std::int64_t) {
    if (run.log->batches.size() == 7) throw IoError("a picture is gone");
  };
  options.epochs = 4;
  EXPECT_THROW(fit(run.net, test::counted(8), test::counted(4), options), IoError);
  EXPECT_EQ(run.first_bias(), whole);
}

TEST(Average, OfEveryFewStepsKeepsAsMuchInAll) {
  Scripted run;
  FitOptions options = run.options(3);
  options.average = {.decay = 0.25, .every = 3};
  fit(run.net, test::counted(8), test::counted(4), options);
  const double kept = std::min(std::pow(0.25, 3), 2 / 11.0);
  EXPECT_NEAR(static_cast<double>(run.first_bias()), kept * 3 + (1 - kept) * 6, 1e-5);
}

// Training goes on from its own weights, and the saved ones have the average of the running statistics too.
TEST(Average, LeavesTrainingAloneAndHasTheStatistics) {
  const auto trained = [](double decay, std::vector<double>* losses) {
    nn::Sequential net(nn::Conv2d{1, 4, {.padding = 1}}, nn::BatchNorm2d{4}, nn::ReLU{},
                       nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{4, 2});
    struct Losses final : Observer {
      std::vector<double>* list;
      explicit Losses(std::vector<double>* to) : list(to) {}
      void on_step(const Progress& p) override { list->push_back(p.loss); }
    };
    FitOptions options{
        .epochs = 3, .batch_size = 8, .lr = 0.1F, .seed = 1, .observers = {std::make_shared<Losses>(losses)}};
    options.engine.threads = 2;
    options.average = {.decay = decay, .every = 1};
    const FitResult result = fit(net, bright(24), bright(10), options);
    EXPECT_EQ(evaluate(net, bright(10)).test_acc, result.test_acc) << "what is saved was evaluated";
    return state_of(net);
  };
  std::vector<double> with, without;
  const State average = trained(0.9, &with), last = trained(0, &without);
  EXPECT_EQ(with, without);
  for (const auto& [name, tensor] : average) {
    if (!name.ends_with("running_mean")) continue;
    for (const auto& [other, value] : last) {
      if (other == name)
        EXPECT_THAT(tensor.values(), testing::Not(testing::ElementsAreArray(value.values())));
    }
  }
}

TEST(Patience, EndsWhenNothingGotBetterAndKeepsTheBest) {
  nn::Sequential net = test::tiny_network();
  nn::init(net, nn::Scheme::chapter, 1);
  for (nn::Parameter& parameter : net[1].parameters()) std::ranges::fill(parameter.value.values(), 0.0F);
  FitOptions options{.epochs = 9, .batch_size = 4};
  options.patience = 2;
  options.engine_factory = [](Network network, const EngineOptions&) {
    return std::make_unique<test::Judged>(std::move(network), std::vector<int>{1, 3, 3, 2, 4, 4});
  };
  const FitResult result = fit(net, test::counted(4), test::counted(4), options);
  EXPECT_EQ(result.epochs, 4) << "the third is as good as the second, not better";
  EXPECT_EQ(result.best_epoch, 2);
  EXPECT_EQ(result.test_acc, 0.75);
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(state_of(net).back().second.values()[0], 2) << "the network of the second epoch";
}

// The average of the two steps of the first epoch, which no later one is better than.
TEST(Patience, KeepsTheAverageThatWasEvaluated) {
  Scripted run;
  FitOptions options = run.options(5);
  options.average = {.decay = 0.5, .every = 1};
  options.patience = 2;
  const FitResult result = fit(run.net, test::counted(8), test::counted(4), options);
  EXPECT_EQ(result.best_epoch, 1);
  EXPECT_NEAR(static_cast<double>(run.first_bias()), 2 / 11.0 * 1 + 9 / 11.0 * 2, 1e-5);
}

// What is chosen by a set is not measured on it: the test set is seen once, by the network that is kept.
TEST(Validation, IsWatchedAndTheTestSetIsSeenOnceAtTheEnd) {
  struct Seen final : Observer {
    std::int64_t validation = 0;  // examples of the set, before the first step
    std::vector<std::int64_t> sets;
    std::vector<double> points;
    void on_start(const RunInfo& run) override { validation = run.val_examples; }
    void on_evaluation(const Progress&, std::int64_t tested, std::int64_t examples) override {
      if (tested == examples) sets.push_back(examples);
    }
    void on_point(const CurvePoint& point) override {
      if (point.test_acc >= 0) points.push_back(point.test_acc);
    }
  };
  const auto seen = std::make_shared<Seen>();
  nn::Sequential net = test::tiny_network();
  nn::init(net, nn::Scheme::chapter, 1);
  for (nn::Parameter& parameter : net[1].parameters()) std::ranges::fill(parameter.value.values(), 0.0F);
  FitOptions options{.epochs = 9, .batch_size = 4, .observers = {seen}};
  options.patience = 2;
  options.validation = test::counted(4);
  options.engine_factory = [](Network network, const EngineOptions&) {
    return std::make_unique<test::Judged>(std::move(network), std::vector<int>{1, 3, 3, 2, 2});
  };
  const FitResult result = fit(net, test::counted(4), test::counted(3), options);
  EXPECT_EQ(seen->validation, 4);
  EXPECT_THAT(seen->sets, testing::ElementsAre(4, 4, 4, 4, 3));
  EXPECT_THAT(seen->points, testing::ElementsAre(0.25, 0.75, 0.75, 0.5));
  EXPECT_EQ(result.val_acc, 0.75) << "of the epoch that is kept";
  EXPECT_DOUBLE_EQ(result.test_acc, 2 / 3.0);
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(state_of(net).back().second.values()[0], 2) << "the network of the second epoch";
  std::ostringstream text;
  text << result;
  EXPECT_THAT(text.str(), testing::HasSubstr("val acc 0.750, test acc 0.667\n"));
  EXPECT_THAT(report::to_json(result), testing::HasSubstr("\"val_acc\":0.75"));

  options.validation = test::counted(0);
  EXPECT_THROW(fit(net, test::counted(4), test::counted(3), options), ConfigError) << "without examples";
}

TEST(Validation, OfARunThatWasStoppedIsNull) {
  Scripted run;
  FitOptions options = run.options(3);
  const std::atomic<bool> stop = true;
  options.stop = &stop;
  EXPECT_THAT(report::to_json(fit(run.net, test::counted(8), test::counted(4), options)),
              testing::Not(testing::HasSubstr("val_acc")));
  options.validation = test::counted(4);
  EXPECT_THAT(report::to_json(fit(run.net, test::counted(8), test::counted(4), options)),
              testing::HasSubstr("\"val_acc\":null"));
}

TEST(Validation, LeavesTheNetworkToARunWhoseLastTestFails) {
  for (const std::int64_t patience : {0, 2}) {
    Scripted run;
    FitOptions options = run.options(3);
    if (patience == 0) options.average = {.decay = 0.5, .every = 1};
    options.patience = patience;
    options.validation = test::counted(4);
    run.log->inferring = [](std::int64_t examples) {
      if (examples == 3) throw IoError("a picture is gone");
    };
    EXPECT_THROW(fit(run.net, test::counted(8), test::counted(3), options), IoError);
    const float failed = run.first_bias();
    run.log->inferring = {};
    run.log->batches.clear();
    fit(run.net, test::counted(8), test::counted(3), options);
    EXPECT_EQ(run.first_bias(), failed);
    EXPECT_NE(failed, 6) << "that of the last step";
  }
}

// The bits of a run that a time decided are those of its steps; measuring leaves no trace.
TEST(Time, DecidesTheStepsAndIsRepeatedByThem) {
  struct Plan final : Observer {
    RunInfo run;
    void on_start(const RunInfo& info) override { run = info; }
    void on_replan(const RunInfo& info) override { run = info; }
  };
  const auto plan = std::make_shared<Plan>();
  FitOptions options = one_epoch();
  options.schedule.kind = ScheduleKind::cosine;
  options.optimizer.method = SgdOptions{.momentum = 0.9};
  options.observers = {plan};
  const auto hash = [&] {  // running statistics and momenta must not know of the measuring
    nn::Sequential net(nn::Conv2d{1, 4, {.padding = 1}}, nn::BatchNorm2d{4}, nn::ReLU{},
                       nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{4, 2});
    const FitResult result = fit(net, bright(24), bright(10), options);
    EXPECT_EQ(result.steps, plan->run.steps);
    return result.weights_sha256;
  };
  options.seconds = 0.3;
  const std::string timed = hash();
  options.seconds = 0;
  options.epochs = 1;  // the steps say more
  options.steps = plan->run.planned_steps;
  options.step_changes = plan->run.step_changes;
  if (options.step_changes.empty()) options.epochs = plan->run.epochs;
  EXPECT_EQ(hash(), timed);
  options.estimate = true;
  EXPECT_EQ(hash(), timed);
}

TEST(Fit, RefusesOptionsThatNoTrainingCanHave) {
  const auto refused = [](auto change) {
    Scripted run;
    FitOptions options = run.options(1);
    change(options);
    try {
      fit(run.net, test::counted(4), test::counted(2), options);
    } catch (const ConfigError&) {
      return true;
    }
    return false;
  };
  EXPECT_TRUE(refused([](FitOptions& o) { o.accumulate = 0; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.patience = -1; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.clip_norm = -1; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.seconds = NAN; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.spent = -1; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.step_changes = {{1, 2}}; }));
  EXPECT_TRUE(refused([](FitOptions& o) {
    o.steps = 1;
    o.step_changes = {{1, 2}};
  }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.average.decay = 1; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.average.every = 0; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.loss.label_smoothing = 2; }));
  EXPECT_TRUE(refused([](FitOptions& o) { o.schedule.warmup_epochs = 1; }));
}

// An engine that tells a left half from a right one: views average over the mirror image.
TEST(ViewsOf, APictureAreAveraged) {
  nn::Sequential net(nn::Flatten{}, nn::Linear{16, 2, {.bias = false}});
  Tensor weight(Shape{2, 16});
  weight.values()[0] = 1;       // class 0: the top left pixel
  weight.values()[16 + 5] = 1;  // class 1: the pixel below and right of it
  set_state(net, {{"1.weight", weight}});
  const auto engine = make_native_engine(network_of(net, {1, 1, 4, 4}), {.threads = 1});
  Tensor image(Shape{1, 1, 4, 4});
  for (std::size_t i = 0; i < 16; ++i) image.values()[i] = static_cast<float>(i);
  const auto outputs = [&](Views views) {
    const Tensor result = infer(*engine, image.view<float>(), views);
    return std::vector<float>(result.values().begin(), result.values().end());
  };
  EXPECT_THAT(outputs(Views::one), ElementsAre(0, 5));
  EXPECT_THAT(outputs(Views::flip), ElementsAre((0 + 3) / 2.0F, (5 + 6) / 2.0F));
  // Shifted down and right: 0 and 3 come to the second pixel; up and left: 5 and 6 (mirrored) to the first.
  EXPECT_THAT(outputs(Views::flip_shift), ElementsAre((0 + 3) / 4.0F + (0 + 3) / 8.0F + (5 + 6) / 8.0F,
                                                      (5 + 6) / 4.0F + (0 + 3) / 8.0F + (10 + 9) / 8.0F));
}

}  // namespace
}  // namespace resnet

// Evaluation on an engine whose answers are known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "train/calibration.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

using testing::ElementsAre;

// An engine that answers image i, of brightness i, with logits[i].
std::unique_ptr<Engine> answering(std::vector<std::vector<float>> logits) {
  nn::Sequential net = test::tiny_network();
  nn::init(net, nn::Scheme::chapter, 1);
  return std::make_unique<test::ScriptedEngine>(network_of(net, {1, 1, 4, 4}),
                                                std::make_shared<test::EngineLog>(), std::move(logits));
}

std::vector<std::int64_t> confusion_of(const Evaluation& evaluation, std::int64_t classes) {
  return metrics_of(evaluation.answers, classes).confusion;
}

TEST(Evaluate, CountsEveryExampleInTheConfusionMatrix) {
  const auto engine = answering({{3, 0, 0}, {0, 3, 0}, {0, 3, 0}, {0, 0, 3}, {3, 0, 0}});
  const data::Dataset set = test::levels_of({0, 1, 2, 3, 4}, {0, 1, 2, 2, 1}, 3);
  for (const std::int64_t batch : {1, 2, 5, 256}) {
    const Evaluation result = evaluate(*engine, set, {.batch_size = batch});
    EXPECT_EQ(result.examples, 5);
    EXPECT_DOUBLE_EQ(result.test_acc, 3 / 5.0);
    EXPECT_THAT(confusion_of(result, 3), ElementsAre(1, 0, 0,  //
                                                     1, 1, 0,  //
                                                     0, 1, 1));
  }
}

TEST(Evaluate, LossIsTheMeanCrossEntropy) {
  const auto engine = answering({{1000, 0, 0}, {0, 0, 0}, {std::log(6.0F), std::log(3.0F), 0}});
  const data::Dataset set = test::levels_of({0, 1, 2}, {1, 2, 0}, 3);
  const double expected = (1000 + std::log(3.0) - std::log(0.6)) / 3;
  EXPECT_NEAR(evaluate(*engine, set, {.batch_size = 2}).loss, expected, 1e-6);
}

TEST(Evaluate, LossOfEqualLogitsIsThatOfChanceHoweverLargeTheyAre) {
  const auto engine = answering({{1e20F, 1e20F, 1e20F}});
  EXPECT_NEAR(evaluate(*engine, test::levels_of({0}, {1}, 3)).loss, std::log(3.0), 1e-12);
}

TEST(Evaluate, OfEqualLogitsTheFirstCounts) {
  const auto engine = answering({{2, 2, 2}, {1, 2, 2}});
  const data::Dataset set = test::levels_of({0, 0, 1, 1}, {0, 2, 1, 2}, 3);
  const Evaluation result = evaluate(*engine, set);
  EXPECT_DOUBLE_EQ(result.test_acc, 0.5);
  EXPECT_THAT(confusion_of(result, 3), ElementsAre(1, 0, 0,  //
                                                   0, 1, 0,  //
                                                   1, 1, 0));
}

TEST(Evaluate, AnAnswerBeyondTheClassesOfTheDataIsWrong) {
  const auto engine = answering({{0, 0, 9}, {0, 9, 0}});
  const data::Dataset set = test::levels_of({0, 1}, {0, 1}, 2);
  const Evaluation result = evaluate(*engine, set);
  EXPECT_DOUBLE_EQ(result.test_acc, 0.5);
  EXPECT_THAT(confusion_of(result, 2), ElementsAre(0, 0, 0, 1));
}

TEST(Evaluate, SaysOfEveryExampleWhatWasAnsweredAndHowSurely) {
  const auto engine = answering({{std::log(6.0F), std::log(3.0F), 0}, {1, 2, 2}});
  const std::vector<Answer> answers =
      evaluate(*engine, test::levels_of({0, 1, 0}, {1, 2, 0}, 3), {.batch_size = 2}).answers;
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_EQ(answers[0].label, 1);
  EXPECT_EQ(answers[0].answer, 0);
  EXPECT_EQ(answers[0].rank, 1);
  EXPECT_FLOAT_EQ(answers[0].probability, 0.6F);
  EXPECT_FLOAT_EQ(answers[0].label_probability, 0.3F);
  EXPECT_EQ(answers[1].answer, 1);
  EXPECT_EQ(answers[1].rank, 1) << "of equals the first comes first";
  EXPECT_EQ(answers[2].rank, 0);
}

TEST(Evaluate, RefusesFewerOutputsThanClasses) {
  const auto engine = answering({{1, 0}});
  EXPECT_THROW(evaluate(*engine, test::levels_of({0}, {0}, 3)), ShapeError);
}

TEST(Evaluate, RefusesLabelsBeyondTheClasses) {
  const auto engine = answering({{1, 0}});
  EXPECT_THROW(evaluate(*engine, test::levels_of({0}, {2}, 2)), ShapeError);
  EXPECT_THROW(evaluate(*engine, test::levels_of({0}, {-1}, 2)), ShapeError);
}

TEST(Evaluate, RefusesASetWithoutExamples) {
  EXPECT_THROW(evaluate(*answering({{1, 0}}), test::levels_of({}, {}, 2)), ConfigError);
}

TEST(Metrics, OfProbabilitiesThatAreNoNumbersAreFigures) {
  const std::vector<Answer> answers = {{.label = 0, .answer = 0, .probability = std::nanf("")}};
  EXPECT_EQ(train::calibration_of(answers)[0].examples, 1);
}

TEST(Evaluate, EndsEarlyWhenItIsToStop) {
  const auto engine = answering({{1, 0}});
  const std::atomic<bool> stop{true};
  const Evaluation result =
      evaluate(*engine, test::levels_of({0, 0, 0}, {0, 0, 0}, 2), {.batch_size = 1, .stop = &stop});
  EXPECT_EQ(result.examples, 0);
  EXPECT_TRUE(std::isnan(result.test_acc) && std::isnan(result.loss)) << "not measured is not zero";
}

TEST(Evaluate, OfANetworkTakesAnyEngine) {
  nn::Sequential net = test::tiny_network();
  nn::init(net, nn::Scheme::chapter, 1);
  const data::Dataset set = test::counted(9);
  const Evaluation native = evaluate(net, set, {.batch_size = 4});
  const Evaluation reference = evaluate(net, set, {.batch_size = 4, .engine_factory = make_reference_engine});
  EXPECT_EQ(native.examples, 9);
  EXPECT_NEAR(native.loss, reference.loss, 1e-6);
  EXPECT_EQ(confusion_of(native, 2), confusion_of(reference, 2));
}

}  // namespace
}  // namespace resnet

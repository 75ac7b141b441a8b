// Figures of answers, against values by hand; Wilson's intervals by the formula in Python.
#include "resnet/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "resnet/error.h"
#include "resnet/memory.h"
#include "train/calibration.h"

namespace resnet {
namespace {

using testing::ElementsAre;

std::vector<Answer> answers_of(const std::vector<std::pair<int, int>>& label_and_answer) {
  std::vector<Answer> answers;
  for (const auto& [label, answer] : label_and_answer)
    answers.push_back({label, answer, label == answer ? 0 : 1, 0.5F, 0.5F});
  return answers;
}

TEST(Metrics, PrecisionRecallAndF1OfEveryClassAndTheirMeans) {
  const Metrics metrics =
      metrics_of(answers_of({{0, 0}, {0, 0}, {0, 1}, {1, 1}, {1, 2}, {2, 2}, {2, 2}, {2, 0}, {2, 2}}), 3);
  EXPECT_DOUBLE_EQ(metrics.accuracy, 6 / 9.0);
  EXPECT_THAT(metrics.confusion, ElementsAre(2, 1, 0,  //
                                             0, 1, 1,  //
                                             1, 0, 3));
  EXPECT_DOUBLE_EQ(metrics.classes[0].precision, 2 / 3.0);
  EXPECT_DOUBLE_EQ(metrics.classes[1].recall, 0.5);
  EXPECT_DOUBLE_EQ(metrics.classes[2].f1, 0.75);
  EXPECT_DOUBLE_EQ(metrics.macro_precision, (2 / 3.0 + 0.5 + 0.75) / 3);
  EXPECT_DOUBLE_EQ(metrics.macro_recall, (2 / 3.0 + 0.5 + 0.75) / 3);
  EXPECT_DOUBLE_EQ(metrics.macro_f1, (2 / 3.0 + 0.5 + 0.75) / 3);
  EXPECT_TRUE(std::isnan(metrics.top5)) << "of three classes any answer is among five";
}

TEST(Metrics, AClassWithoutExamplesIsNoPartOfTheMeansAndOneNeverAnsweredHasPrecision0) {
  const Metrics metrics = metrics_of(answers_of({{0, 0}, {0, 2}, {1, 0}, {1, 0}}), 3);
  EXPECT_TRUE(std::isnan(metrics.classes[1].precision));
  EXPECT_TRUE(std::isnan(metrics.classes[2].recall));
  EXPECT_DOUBLE_EQ(metrics.macro_precision, (1 / 3.0 + 0) / 2);
  EXPECT_DOUBLE_EQ(metrics.macro_recall, (0.5 + 0) / 2);
  EXPECT_DOUBLE_EQ(metrics.macro_f1, (0.4 + 0) / 2);
}

TEST(Metrics, AnAnswerThatIsNoClassIsWrong) {
  const Metrics metrics = metrics_of(answers_of({{0, 7}, {1, 1}}), 2);
  EXPECT_DOUBLE_EQ(metrics.accuracy, 0.5);
  EXPECT_THAT(metrics.confusion, ElementsAre(0, 0, 0, 1));
}

TEST(Metrics, WilsonsIntervalHoldsAtTheEnds) {
  const Interval middle = wilson_95(9131, 10000), none = wilson_95(0, 20), all = wilson_95(20, 20);
  EXPECT_NEAR(middle.low, 0.9074192, 1e-7);
  EXPECT_NEAR(middle.high, 0.9184636, 1e-7);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.1611252, 1e-7);
  EXPECT_NEAR(all.low, 0.8388748, 1e-7);
  EXPECT_EQ(all.high, 1);
  EXPECT_TRUE(std::isnan(wilson_95(0, 0).low));
}

TEST(Metrics, Top5CountsLabelsAmongTheFiveLikeliest) {
  std::vector<Answer> answers;
  for (std::int32_t rank = 0; rank < 6; ++rank) answers.push_back({9, rank == 0 ? 9 : 0, rank, 0.5F, 0.1F});
  EXPECT_DOUBLE_EQ(metrics_of(answers, 10).top5, 5 / 6.0);
}

TEST(Metrics, CalibrationErrorIsTheMeanDistanceOfProbabilitiesFromFrequencies) {
  // Ten answers at 0.9 of which five are right, ten at 0.5 of which five are: 0.5 * 0.4 + 0.5 * 0.
  std::vector<Answer> answers;
  for (int i = 0; i < 10; ++i) {
    answers.push_back({0, i % 2, i % 2, 0.9F, 0.1F});
    answers.push_back({0, i % 2, i % 2, 0.5F, 0.5F});
  }
  EXPECT_NEAR(metrics_of(answers, 2).calibration_error, 0.2, 1e-7);
  EXPECT_NEAR(
      metrics_of(std::vector<Answer>{{0, 0, 0, 1.0F, 1.0F}, {1, 1, 0, 0.0F, 0.0F}}, 2).calibration_error, 0.5,
      1e-12)
      << "the ends belong to the first and the last bin";
}

TEST(Metrics, WithoutExamplesThereAreNone) {
  const Metrics metrics = metrics_of({}, 6);
  for (const double figure :
       {metrics.accuracy, metrics.accuracy_95.low, metrics.top5, metrics.macro_f1, metrics.calibration_error})
    EXPECT_TRUE(std::isnan(figure));
}

TEST(Metrics, TheConfusionMatrixIsAskedForAndMayBeLeftOut) {
  const std::vector<Answer> answers = {{1, 1, 0, 1, 1}, {0, 1, 1, 1, 0}};
  constexpr std::int64_t kMany = std::int64_t{1} << 23;  // 2^49 bytes
  EXPECT_THROW(metrics_of(answers, kMany), MemoryError);
  const Metrics without = metrics_of(answers, kMany, false);
  EXPECT_TRUE(without.confusion.empty());
  EXPECT_EQ(without.accuracy, 0.5);
}

TEST(Metrics, RefusesLabelsThatAreNoClasses) {
  EXPECT_THROW(metrics_of(answers_of({{2, 0}}), 2), ShapeError);
  EXPECT_THROW(metrics_of(answers_of({{-1, 0}}), 2), ShapeError);
  EXPECT_THROW(metrics_of(answers_of({{0, -1}}), 2), ShapeError);
  EXPECT_THROW(metrics_of({}, 0), ConfigError);
}

TEST(Metrics, TheWorstMistakesAreTheSurestFirstOfEqualsFirst) {
  const std::vector<Answer> answers = {{0, 1, 1, 0.6F, 0.4F},
                                       {0, 0, 0, 0.99F, 0.99F},
                                       {1, 0, 1, 0.9F, 0.1F},
                                       {1, 0, 1, 0.6F, 0.4F},
                                       {1, 1, 0, 0.8F, 0.8F}};
  EXPECT_THAT(worst_mistakes(answers, 64), ElementsAre(2, 0, 3));
  EXPECT_THAT(worst_mistakes(answers, 1), ElementsAre(2));
  EXPECT_TRUE(worst_mistakes(answers, -1).empty());
}

TEST(Metrics, CalibrationBinsHaveTheirUpperEnd) {
  const std::vector<Answer> answers = {
      {0, 0, 0, 1.0F, 1.0F}, {0, 1, 1, 0.99F, 0.01F}, {1, 1, 0, 0.5F, 0.5F}, {1, 1, 0, 0.0F, 0.0F}};
  const std::vector<train::CalibrationBin> bins = train::calibration_of(answers);
  ASSERT_EQ(bins.size(), 15U);
  EXPECT_EQ(bins[14].examples, 2);
  EXPECT_EQ(bins[14].hits, 1);
  EXPECT_NEAR(bins[14].probability_sum, 1.99, 1e-6);
  EXPECT_EQ(bins[7].examples, 1) << "7/15 < 0.5 <= 8/15";
  EXPECT_EQ(bins[0].examples, 1) << "0 belongs to the first";
  EXPECT_NEAR(metrics_of(answers, 2).calibration_error, (0.99 + 0.5 + 1) / 4, 1e-6);
}

}  // namespace
}  // namespace resnet

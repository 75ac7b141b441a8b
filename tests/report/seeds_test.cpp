#include "report/seeds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/files.h"
#include "io/folder_test.h"
#include "report/plot.h"
#include "report/run_record.h"
#include "report/simulated_run.h"

namespace resnet::report {
namespace {

using ::testing::HasSubstr;

class Seeds : public FolderTest {};

FitResult result_of_seed(std::uint64_t seed, double test_acc) {
  FitResult result;
  result.seed = seed;
  result.loss = 0.25;
  result.train_acc = 0.75;
  result.test_acc = test_acc;
  result.examples_per_second = 100;
  result.device = "cpu";
  result.complete = true;
  return result;
}

TEST_F(Seeds, SpreadIsThatOfASample) {
  const Spread spread = spread_of(std::vector<double>{2, 4, 4, 4, 5, 5, 7, 9, kNotMeasured});
  EXPECT_EQ(spread.count, 8);
  EXPECT_EQ(spread.mean, 5);
  EXPECT_DOUBLE_EQ(spread.deviation, std::sqrt(32.0 / 7));
  EXPECT_EQ(spread.least, 2);
  EXPECT_EQ(spread.most, 9);
  EXPECT_TRUE(std::isnan(spread_of({}).mean));
  EXPECT_TRUE(std::isnan(spread_of(std::vector<double>{3}).deviation)) << "of one there is none";
}

TEST_F(Seeds, TextHasADeviationOnlyWhereThereIsOne) {
  const FitResult one = result_of_seed(0, 0.5), two = result_of_seed(1, 0.75);
  EXPECT_EQ(summary_text(std::vector{one}),
            "loss 0.250, train acc 0.750, test acc 0.500\n100.0 examples/sec on cpu\n");
  EXPECT_EQ(summary_text(std::vector{one, two}),
            "loss 0.250 ± 0.000, train acc 0.750 ± 0.000, test acc 0.625 ± 0.177\n"
            "100.0 ± 0.0 examples/sec on cpu\n");
  EXPECT_EQ(summary_text({}),
            "loss not measured, train acc not measured, test acc not measured\n"
            "examples/sec not measured on cpu\n");
}

TEST_F(Seeds, SummaryIsCompleteWhereEverySeedHasEnded) {
  const std::vector<FitResult> results = {result_of_seed(0, 0.5), result_of_seed(1, kNotMeasured)};
  EXPECT_THAT(summary_json(results, 2, "repeat"), HasSubstr(R"("complete":true)"));
  EXPECT_THAT(summary_json(results, 3, "repeat"), HasSubstr(R"("complete":false)"));
  EXPECT_THAT(summary_json(results, 2, "repeat"), HasSubstr(R"("test_acc":null)"));
}

TEST_F(Seeds, FoldersAreFoundByTheirSeedsInOrder) {
  for (const char* name : {"seed-10", "seed-9", "seed-x", "seed-07", "other"}) {
    make_directories(file(name));
    write_file(file(name) / kMetricsFile, metrics_header());
  }
  make_directories(file("seed-11"));  // it has not begun
  EXPECT_EQ(runs_in(file("")), (std::vector{file("seed-9"), file("seed-10")}));
  EXPECT_EQ(runs_in(file("other")), std::vector{file("other")}) << "a run is itself";
  EXPECT_EQ(runs_in(file("nowhere")), std::vector{file("nowhere")});
}

TEST_F(Seeds, BandLiesWhereTwoRunsHaveThePoint) {
  Series a{.name = "a", .points = {{1, 1.0, 0.5, -1}, {2, 0.5, 0.75, 0.5}}};
  Series b{.name = "b", .points = {{1, 3.0, 0.5, -1}, {2, 0.5, 0.25, -1}, {3, 0.1, 1, 1}}};
  const Band band = band_of(std::vector{a, b});
  ASSERT_EQ(band.mean.points.size(), 3U);
  EXPECT_EQ(band.mean.points[0].loss, 2);
  EXPECT_DOUBLE_EQ(band.high.points[0].loss, 2 + std::sqrt(2));
  EXPECT_DOUBLE_EQ(band.low.points[0].loss, 2 - std::sqrt(2));
  EXPECT_LT(band.mean.points[1].test_acc, 0) << "one run measured it";
  EXPECT_LT(band.mean.points[2].loss, 0) << "one run has it";
}

TEST_F(Seeds, MeanIsARunOfItsOwn) {
  const std::vector<Series> runs = {
      {.name = "five/seed-0", .model = "m", .dataset = "d", .epochs = 2, .points = {{1, 1.0, 0.5, 0.25}}},
      {.name = "five/seed-1", .model = "m", .dataset = "d", .epochs = 2, .points = {{1, 3.0, 0.25, 0.75}}}};
  const Series mean = mean_of(runs);
  EXPECT_EQ(mean.name, "five, mean of 2");
  EXPECT_EQ(mean.model + mean.dataset, "md");
  EXPECT_EQ(mean.epochs, 2);
  ASSERT_EQ(mean.points.size(), 1U);
  EXPECT_EQ(mean.points[0].loss, 2);
  EXPECT_EQ(mean.points[0].train_acc, 0.375);
  EXPECT_EQ(mean.points[0].test_acc, 0.5);
}

TEST_F(Seeds, LastValuesOfTheMeanAreOfEachRunsOwnEnd) {
  const std::vector<Series> runs = {
      {.name = "five/seed-0", .points = {{8, 0.5, 0.5, 0.5}, {8.4, 0.25, 0.75, 0.625}}},
      {.name = "five/seed-1", .points = {{8, 0.5, 0.5, 0.5}, {8.5, 0.125, 1, 0.875}}}};
  EXPECT_THAT(band_svg(runs), HasSubstr(">0.750</text>")) << "and not 0.500, of the last epoch of both";
  const Series mean = mean_of(runs);
  EXPECT_EQ(last_of(kCurves[0], mean).value, 0.1875);
  EXPECT_EQ(last_of(kCurves[1], mean).value, 0.875);
  EXPECT_EQ(last_of(kCurves[2], mean).value, 0.75);
  EXPECT_EQ(last_of(kCurves[2], mean).x, 8.5);
  EXPECT_EQ(mean.points.front().test_acc, 0.5);
}

TEST_F(Seeds, PictureHasTheBandEachRunAndTheMean) {
  const std::vector<Series> runs = {{.name = "seed-0", .points = learning(2)},
                                    {.name = "seed-1", .points = learning(2)}};
  const std::string svg = band_svg(runs);
  EXPECT_THAT(svg, HasSubstr("class=\"band loss\""));
  EXPECT_THAT(svg, HasSubstr("class=\"thin loss\""));
  EXPECT_THAT(svg, HasSubstr("mean ± deviation"));
  EXPECT_THAT(svg, HasSubstr("seed-1"));
  EXPECT_EQ(svg.find("class=\"hover\""), svg.npos);
  EXPECT_EQ(band_svg(std::span(runs).first(1)), curves_svg(std::span(runs).first(1))) << "one has no spread";
}

TEST_F(Seeds, ResultIsReadBackAsItWasWritten) {
  FitResult result = result_of_seed(18446744073709551615U, kNotMeasured);
  result.weights_sha256 = "00ff";
  result.data = {.bad_files = 1, .duplicates = 2, .overlaps = 3};
  result.step_plan = "500";  // of a run whose end was moved very often
  for (int i = 1; i < 1000; ++i) result.step_plan += "," + std::to_string(i) + ":500";
  write_result(file("result.json"), result);
  EXPECT_EQ(to_json(read_result(file("result.json"))), to_json(result));
}

TEST_F(Seeds, ResultThatIsNoneIsRefusedByItsName) {
  const char* texts[] = {"",
                         "[]",
                         "{",
                         R"({"loss":"high"})",
                         R"({"epochs":1.5})",
                         R"({"seed":-1})",
                         R"({"complete":1})",
                         R"({"threads":9999999999})",
                         R"({"isa":null})",
                         R"({"loss":true})",
                         R"({"epochs":18446744073709551615})",
                         R"({"epochs":"3"})",
                         R"({"seed":1e3})"};
  for (const char* text : texts) {
    write_file(file("result.json"), text);
    try {
      read_result(file("result.json"));
      ADD_FAILURE() << text;
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr("result.json: ")) << text;
      EXPECT_LT(std::string(error.what()).size(), 300U);
    }
  }
  write_file(file("result.json"), R"({"loss":3,"train_acc":18446744073709551615,"complete":false})");
  EXPECT_EQ(read_result(file("result.json")).loss, 3) << "a whole number is one too";
  EXPECT_EQ(read_result(file("result.json")).train_acc, 0x1p64);
  write_file(file("result.json"), "{}");
  EXPECT_TRUE(std::isnan(read_result(file("result.json")).loss))
      << "keys that earlier versions did not write";
}

}  // namespace
}  // namespace resnet::report

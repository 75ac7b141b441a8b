// The page as text. tests/e2e/report_slow_test.py sees it with a browser's eyes.
#include "resnet/html_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/files.h"
#include "io/folder_test.h"
#include "report/html_pictures.h"
#include "report/run_record.h"
#include "report/simulated_run.h"

namespace resnet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class HtmlReport : public FolderTest {};

// Gray pictures of 4x4, or of 200x100 in colour, or none that can be read.
class Pictures final : public data::Dataset::Source {
 public:
  enum class Kind { gray, colour, unreadable };
  Pictures(std::int64_t size, std::int32_t classes, Kind kind)
      : size_(size), classes_(classes), kind_(kind) {}
  std::int64_t size() const override { return size_; }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i % classes_); }
  void image(std::int64_t i, images::Image& out) const override {
    if (kind_ == Kind::unreadable && i > 0) throw IoError("it is gone");
    out = kind_ == Kind::colour
              ? images::Image{100, 200, 3, std::vector<std::uint8_t>(60000, 7)}
              : images::Image{4, 4, 1, std::vector<std::uint8_t>(16, static_cast<std::uint8_t>(i))};
  }
  std::string name(std::int64_t i) const override {
    return "</script><b>" + std::to_string(i) + "\u202e.png";
  }

 private:
  std::int64_t size_;
  std::int32_t classes_;
  Kind kind_;
};

ReportedRun judged(std::int64_t examples, std::int32_t classes, Pictures::Kind kind = Pictures::Kind::gray) {
  std::vector<std::string> names;
  for (std::int32_t k = 0; k < classes; ++k) names.push_back("class " + std::to_string(k));
  names[0] = "</script><script>alert(1)</script>\u202e\"'&";
  const data::Dataset set(std::make_shared<Pictures>(examples, classes, kind), "pictures", names, {},
                          Shape{1, 4, 4});
  ReportedRun run;
  run.curves = {.name = "run<1>", .points = report::learning(2)};
  run.settings = {{"lr", "0.05"}, {"out", "</script>"}};
  run.result = FitResult{};
  run.result->test_acc = 0.5;
  run.result->complete = true;
  run.data = data::TrainTest{set, set};
  run.evaluation.emplace();
  run.evaluation->examples = examples;
  for (std::int64_t i = 0; i < examples; ++i) {
    const std::int32_t label = set.label(i), answer = i % 3 == 0 ? (label + 1) % classes : label;
    run.evaluation->answers.push_back(
        {label, answer, label == answer ? 0 : 1, static_cast<float>(1 + i % 7) / 8, 0.1F});
  }
  return run;
}

nlohmann::json data_of(const std::string& page) {
  const std::string begin = R"(<script type="application/json" id="data">)";
  const std::size_t from = page.find(begin) + begin.size();
  return nlohmann::json::parse(page.substr(from, page.find("</script>", from) - from));
}

TEST_F(HtmlReport, WhatFilesChoseStaysText) {
  const std::string page = html_report(std::vector{judged(30, 3)});
  std::size_t ends = 0;
  for (std::size_t at = page.find("</script>"); at != page.npos; at = page.find("</script>", at + 1)) ++ends;
  EXPECT_EQ(ends, 2U) << "the data's and the page's own";
  EXPECT_THAT(page, Not(HasSubstr("\u202e")));
  EXPECT_THAT(page, Not(HasSubstr("<b>")));
  const auto json = data_of(page);
  EXPECT_EQ(json["sets"][0]["classes"][0][0], "</script><script>alert(1)</script>\\u202e\"'&");
  EXPECT_EQ(json["runs"][0]["settings"][1][1], "</script>");
}

TEST_F(HtmlReport, TheTitleIsEscaped) {
  EXPECT_THAT(html_report(std::vector{judged(3, 3)}, {.title = "<a> & b"}),
              HasSubstr("<title>&lt;a&gt; &amp; b</title>"));
}

TEST_F(HtmlReport, NothingIsLoadedAndThePolicySaysSo) {
  const std::string page = html_report(std::vector{judged(30, 3)});
  EXPECT_THAT(page, HasSubstr("default-src 'none'; img-src data:; style-src 'sha256-"));
  for (const char* loaded : {"http://", "https://", "src=\"", "@import", "unsafe-inline", "url(h"}) {
    std::string rest = page;
    for (std::size_t at = 0; (at = rest.find("http://www.w3.org/")) != rest.npos;)
      rest.erase(at, 18);  // a namespace
    EXPECT_THAT(rest, Not(HasSubstr(loaded)));
  }
}

TEST_F(HtmlReport, TheSameRunsGiveTheSameBytes) {
  EXPECT_EQ(html_report(std::vector{judged(30, 3)}), html_report(std::vector{judged(30, 3)}));
}

TEST_F(HtmlReport, RunsOfTheSameDataShareItsPictures) {
  const auto json = data_of(html_report(std::vector{judged(30, 3), judged(30, 3), judged(31, 3)}));
  EXPECT_EQ(json["sets"].size(), 2U);
  EXPECT_EQ(json["runs"][1]["set"], 0);
  EXPECT_EQ(json["runs"][2]["set"], 1);
  EXPECT_FALSE(json["mean"][0].empty());
}

TEST_F(HtmlReport, TheMeanEndsWithTheRunsOwnEnds) {
  std::vector<ReportedRun> runs(2);
  runs[0].curves = {.name = "a", .points = {{1, 1, 0.5, 0.5}, {1.5, 1, 0.5, 0.625}}};
  runs[1].curves = {.name = "b", .points = {{1, 1, 0.5, 0.5}, {1.75, 1, 0.5, 0.875}}};
  EXPECT_EQ(data_of(html_report(runs))["mean"][2].back().back(), (std::vector<double>{1.75, 0.75}));
}

// The surest mistake is the last example: it is there where the bytes end.
TEST_F(HtmlReport, TheWorstMistakeIsLoadedFirst) {
  ReportedRun run = judged(31, 3, Pictures::Kind::colour);
  run.evaluation->answers[30].probability = 1;
  const std::int64_t one = static_cast<std::int64_t>(report::picture_uri(run.data->test, 0).size());
  const auto set = data_of(html_report(std::vector{run}, {.picture_bytes = 3 * one}))["sets"][0];
  EXPECT_TRUE(set["pictures"].contains("30")) << set["pictures"].size();
}

TEST_F(HtmlReport, ThePageOfAThousandClassesIsBounded) {
  const std::string page = html_report(std::vector{judged(20000, 1000)});
  EXPECT_LT(page.size(), 4'000'000U);
  EXPECT_LE(data_of(page)["sets"][0]["pictures"].size(), 1000U);
}

TEST_F(HtmlReport, PicturesEndWithTheirBytes) {
  const auto json =
      data_of(html_report(std::vector{judged(300, 3, Pictures::Kind::colour)}, {.picture_bytes = 2000}));
  std::size_t bytes = 0;
  for (const auto& [example, of] : json["sets"][0]["pictures"].items())
    bytes += of[1].get<std::string>().size();
  for (const auto& sample : json["sets"][0]["samples"]) bytes += sample[2].get<std::string>().size();
  EXPECT_GT(bytes, 0U);
  EXPECT_LT(bytes, 4000U);
}

TEST_F(HtmlReport, APictureThatIsGoneIsLeftOut) {
  const data::Dataset set(std::make_shared<Pictures>(5, 2, Pictures::Kind::unreadable), "x", {"a", "b"}, {},
                          Shape{1, 4, 4});
  EXPECT_THAT(report::picture_uri(set, 0), HasSubstr("data:image/png;base64,"));
  EXPECT_EQ(report::picture_uri(set, 1), "");
}

TEST_F(HtmlReport, ARunThatHasNotEndedHasItsCurves) {
  ReportedRun run;
  run.curves = {.name = "going", .points = report::learning(1)};
  const std::string page = html_report(std::vector{run});
  EXPECT_THAT(page, HasSubstr("no run has ended yet"));
  const auto json = data_of(page);
  EXPECT_FALSE(json["runs"][0].contains("result"));
  EXPECT_FALSE(json["runs"][0]["curves"][0].empty());
}

TEST_F(HtmlReport, NoneAndTooManyAreRefused) {
  EXPECT_THROW(html_report({}), ConfigError);
  EXPECT_THROW(html_report(std::vector<ReportedRun>(33)), ConfigError);
  ReportedRun run = judged(5, 2);
  run.data.reset();
  EXPECT_THROW(html_report(std::vector{run}), ConfigError) << "an evaluation of nothing";
}

// A network may know more classes than its data has, and in another order.
TEST_F(HtmlReport, ClassesAreFoundByTheirNames) {
  ReportedRun run = judged(31, 3);
  const std::vector<std::string> names = run.data->train.classes();
  std::vector<std::string> known;
  for (std::int32_t k = 0; k < 1000; ++k) known.push_back("other " + std::to_string(k));
  known.insert(known.end(), names.rbegin(), names.rend());
  run.data->test = run.data->test.with_classes(known);
  for (Answer& answer : run.evaluation->answers) {
    answer.label = 1002 - answer.label;
    answer.answer = 1002 - answer.answer;
  }
  const auto classes = data_of(html_report(std::vector{run}))["sets"][0]["classes"];
  ASSERT_EQ(classes.size(), 1003U);
  EXPECT_EQ(classes[1002][1], 11) << "class 0: examples 0, 3, ... 30";
  EXPECT_EQ(classes[1002][2], 11);
  EXPECT_EQ(classes[1000][1], 10);
  EXPECT_EQ(classes[1000][2], 10);
  EXPECT_EQ(classes[7][2], 0);
}

// In one pass: quadratic, this took minutes.
TEST_F(HtmlReport, ManySignsAreEscapedInTime) {
  ReportedRun run = judged(5, 2);
  std::vector<std::string> known = run.data->train.classes();
  while (known.size() < 20'000) known.push_back(std::string(190, '<') + std::to_string(known.size()));
  run.data->test = run.data->test.with_classes(known);
  const SteadyTime begin = std::chrono::steady_clock::now();
  EXPECT_GT(html_report(std::vector{run}).size(), 20'000U * 190 * 6);
  EXPECT_LT(seconds_since(begin), 60);
}

TEST_F(HtmlReport, ARunsFolderIsLoadedAndWhatIsNoneIsRefused) {
  make_directories(file("run"));
  write(file("run") / "metrics.csv", report::metrics_header() + "1,0.5,0.75,0.5\n");
  write(file("run") / "config.toml", "lr = 0.1\nmodel = 'resnet18'\n");
  EXPECT_FALSE(load_run(file("run")).result);
  FitResult result;
  result.seed = 7;
  report::write_result(file("run") / "result.json", result);
  const ReportedRun run = load_run(file("run"));
  EXPECT_EQ(run.result->seed, 7U);
  EXPECT_THAT(run.settings, ElementsAre(std::pair("lr", "0.1"), std::pair("model", "resnet18")));
  EXPECT_THROW(load_run(file("nowhere")), IoError);
  EXPECT_THROW(load_run(file("run") / "metrics.csv"), FormatError);
  write(file("run") / "result.json", "{");
  EXPECT_THROW(load_run(file("run")), FormatError);
}

// One of each class, then a second of each, and no third.
TEST(SamplesOf, ADataSetAreOfItsClassesInTurn) {
  const data::Dataset set = judged(9, 3).data->train;
  EXPECT_THAT(report::samples_of(set, 4, 2), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(report::samples_of(set, 9, 2), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(MatrixCells, MistakesComeFirstAndTheSurestOfThem) {
  const std::vector<Answer> answers = {{0, 0, 0, 0.9F, 0.9F}, {0, 0, 0, 0.6F, 0.6F}, {1, 0, 1, 0.5F, 0.1F},
                                       {1, 0, 1, 0.8F, 0.1F}, {1, 1, 0, 0.9F, 0.9F}, {0, 7, 1, 0.9F, 0.1F}};
  const std::vector<report::MatrixCell> cells = report::cells_of(answers, 2, 10, 1);
  ASSERT_EQ(cells.size(), 3U) << "an answer that is no class is in no cell";
  EXPECT_EQ(cells[0].label, 1);
  EXPECT_EQ(cells[0].answer, 0);
  EXPECT_EQ(cells[0].count, 2);
  EXPECT_THAT(cells[0].examples, ElementsAre(3));
  EXPECT_EQ(cells[1].count, 2) << "right answers by their number";
  EXPECT_THAT(cells[1].examples, ElementsAre(1)) << "the least sure";
  EXPECT_EQ(report::cells_of(answers, 2, 1, 1).size(), 2U) << "right answers are never left out";
}

TEST_F(HtmlReport, MistakesThatAreLeftOutAreTold) {
  ReportedRun run = judged(3, 400);
  run.evaluation->answers.clear();
  for (std::int32_t k = 0; k < 30'000; ++k)
    run.evaluation->answers.push_back({k % 400, (k % 400 + 1 + k / 400) % 400, 1, 0.5F, 0.1F});
  const auto evaluation = data_of(html_report(std::vector{run}))["runs"][0]["evaluation"];
  EXPECT_EQ(evaluation["cells"].size(), 20'000U);
  EXPECT_EQ(evaluation["untold"], 1);
  EXPECT_EQ(data_of(html_report(std::vector{judged(30, 3)}))["runs"][0]["evaluation"]["untold"], 0);
}

}  // namespace
}  // namespace resnet

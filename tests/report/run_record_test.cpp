#include "report/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "images/libraries.h"
#include "io/folder_test.h"
#include "resnet/report.h"
#include "resnet/train.h"
#include "resnet/version.h"

namespace resnet::report {
namespace {

using ::testing::HasSubstr;

class RunRecord : public FolderTest {};

FitResult full_result() {
  FitResult result;
  result.loss = 0.1;
  result.train_acc = 2.0 / 3;
  result.test_acc = 0.9137;
  result.examples_per_second = 1234.5678901234567;
  result.device = "cuda:1";
  result.device_name = "a card";
  result.cpu_model = "A \"processor\"";
  result.seed = std::numeric_limits<std::uint64_t>::max();
  result.epochs = 10;
  result.steps = 2350;
  result.step_plan = "2400,100:2350";
  result.skipped_steps = 3;
  result.rollbacks = 1;
  result.seconds = 480.25;
  result.best_epoch = 7;
  result.optimizer = "sgd";
  result.threads = 2;
  result.threads_from = "cores";
  result.isa = "sm_90";
  result.libraries = "g++ 12.2.0, CUDA 13.0";
  result.plan_sha256 = "abcd";
  result.weights_sha256 = "00ff";
  result.complete = true;
  return result;
}

TEST_F(RunRecord, ResultHasEveryFigureExactly) {
  write_result(file("result.json"), full_result());
  const std::string text = read(file("result.json"));
  EXPECT_EQ(text, std::string(
                      R"({"loss":0.1,"train_acc":0.6666666666666666,"test_acc":0.9137,)"
                      R"("examples_per_second":1234.5678901234567,"device":"cuda:1","device_name":"a card",)"
                      R"("cpu_model":"A \"processor\"","seed":18446744073709551615,"epochs":10,)"
                      R"("steps":2350,"step_plan":"2400,100:2350","skipped_steps":3,)"
                      R"("rollbacks":1,"seconds":480.25,)"
                      R"("best_epoch":7,"optimizer":"sgd",)"
                      R"("threads":2,"threads_from":"cores","isa":"sm_90",)"
                      R"("weights_sha256":"00ff",)"
                      R"("complete":true,"version":")") +
                      kVersion + "\",\"libraries\":\"g++ 12.2.0, CUDA 13.0\",\"plan_sha256\":\"abcd\"}\n");
  EXPECT_EQ(nlohmann::json::parse(text).at("seed"), std::numeric_limits<std::uint64_t>::max());
}

TEST_F(RunRecord, ResultIsJsonWhateverHappened) {
  FitResult result = full_result();
  result.loss = NAN;
  result.examples_per_second = INFINITY;
  result.cpu_model = "\xff";  // the system's text, not UTF-8
  const auto object = nlohmann::json::parse(to_json(result));
  EXPECT_TRUE(object.at("loss").is_null());
  EXPECT_TRUE(object.at("examples_per_second").is_null());
  EXPECT_EQ(object.at("cpu_model"), "\xef\xbf\xbd");
}

TEST_F(RunRecord, DiagnosisSaysWhichStepAndWhere) {
  Diagnosis d{.step = 812, .epoch = 3, .batch = 107, .examples = {5, 7}, .lr = 0.5, .loss = NAN};
  d.loss_before = 1.25;
  d.first = NonFinite{NonFinite::Place::output, "layer1.0.conv1", "conv2d", false};
  d.left = NonFinite{NonFinite::Place::update, "fc.bias", "", true};
  d.skipped = 2;
  d.outcome = "skip";
  EXPECT_EQ(to_json(d),
            std::string(
                R"({"what":"the loss is no longer finite at step 812: the output of layer1.0.conv1 (conv2d) )"
                R"(is infinite","step":812,"epoch":3,"batch":107,"first":{"place":"output",)"
                R"("name":"layer1.0.conv1","operation":"conv2d","kind":"infinite"},"left_in_state":)"
                R"({"place":"update","name":"fc.bias","operation":"","kind":"nan"},"lr":0.5,"loss":null,)"
                R"("loss_before":1.25,"skipped_steps":2,"rollbacks":0,"outcome":"skip","examples":[5,7],)"
                R"("version":")") +
                kVersion + "\"}");
  EXPECT_TRUE(nlohmann::json::parse(to_json(Diagnosis{})).at("first").is_null());
}

TEST_F(RunRecord, ResultThatCannotBeWrittenLeavesTheOldOne) {
  write_result(file("result.json"), full_result());
  const std::string before = read(file("result.json"));
  {
    const SmallDisk disk(before.size() - 1);
    EXPECT_THROW(write_result(file("result.json"), full_result()), IoError);
  }
  EXPECT_THROW(write_result(file("none") / "result.json", full_result()), IoError);
  EXPECT_EQ(read(file("result.json")), before);
}

TEST_F(RunRecord, MetricsAreLinesOfNumbersAndEmptyWhereNotMeasured) {
  EXPECT_EQ(metrics_header(), "epoch,train_loss,train_acc,test_acc\n");
  EXPECT_EQ(metrics_line({.x = 0.2, .loss = 2.302585092994046, .train_acc = 0.1}),
            "0.2,2.302585092994046,0.1,\n");
  EXPECT_EQ(metrics_line({.x = 1, .loss = 0.5, .train_acc = 1, .test_acc = 0}), "1,0.5,1,0\n");
}

TEST_F(RunRecord, MetricsComeBackAsTheSameDoubles) {
  std::vector<CurvePoint> points;
  for (int i = 1; i <= 100; ++i) {
    points.push_back({.x = i / 5.0 + 1e-3 / i,
                      .loss = std::exp(-i / 7.0),
                      .train_acc = 1 - 1.0 / (i + 2),
                      .test_acc = i % 5 == 0 ? i / 101.0 : -1});
  }
  points.push_back({.x = 1e300, .loss = NAN, .train_acc = 5e-324, .test_acc = INFINITY});
  std::string text = metrics_header();
  for (const CurvePoint& point : points) text += metrics_line(point);
  write(file("metrics.csv"), text);
  const std::vector<CurvePoint> got = read_metrics(file("metrics.csv")).points;
  ASSERT_EQ(got.size(), points.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    EXPECT_EQ(got[i].x, points[i].x);
    if (std::isnan(points[i].loss)) {
      EXPECT_TRUE(std::isnan(got[i].loss));
    } else {
      EXPECT_EQ(got[i].loss, points[i].loss);
    }
    EXPECT_EQ(got[i].train_acc, points[i].train_acc);
    EXPECT_EQ(got[i].test_acc, points[i].test_acc);
  }
}

TEST_F(RunRecord, MetricsOfARunThatDiedEndBeforeItsLastLine) {
  const std::string text = metrics_header() + "0.2,1,0.5,\n0.4,0.9,0.";
  write(file("metrics.csv"), text);
  EXPECT_EQ(read_metrics(file("metrics.csv")).points.size(), 1U);
  write(file("metrics.csv"), metrics_header());
  EXPECT_TRUE(read_metrics(file("metrics.csv")).points.empty());
}

TEST_F(RunRecord, MetricsMayHaveTheLineEndsOfWindows) {
  write(file("metrics.csv"), "epoch,train_loss,train_acc,test_acc\r\n0.2,1,0.5,\r\n1,0.9,0.5,0.25\r\n");
  const std::vector<CurvePoint> got = read_metrics(file("metrics.csv")).points;
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].test_acc, -1);
  EXPECT_EQ(got[1].test_acc, 0.25);
}

TEST_F(RunRecord, MetricsSayWhetherTheyAreOfAValidationSet) {
  EXPECT_EQ(metrics_header(true), "epoch,train_loss,train_acc,val_acc\n");
  write(file("metrics.csv"), metrics_header(true) + "1,0.9,0.5,0.25\n");
  const Series got = read_metrics(file("metrics.csv"));
  EXPECT_TRUE(got.validated);
  ASSERT_EQ(got.points.size(), 1U);
  EXPECT_EQ(got.points[0].test_acc, 0.25);
  write(file("metrics.csv"), metrics_header());
  EXPECT_FALSE(read_metrics(file("metrics.csv")).validated);
}

TEST_F(RunRecord, MetricsOfMoreThanAPlotCanUseAreRefused) {
  std::string text = metrics_header();
  for (int i = 0; i < 1 << 18; ++i) text += "0,0,0,\n";
  write(file("metrics.csv"), text);
  EXPECT_EQ(read_metrics(file("metrics.csv")).points.size(), std::size_t{1} << 18U);
  write(file("metrics.csv"), text + "0,0,0,\n");
  EXPECT_THROW(static_cast<void>(read_metrics(file("metrics.csv"))), FormatError);
}

TEST_F(RunRecord, MetricsThatAreNoneAreRefusedWithTheirLine) {
  const auto error = [&](const std::string& text) -> std::string {
    write(file("metrics.csv"), text);
    try {
      static_cast<void>(read_metrics(file("metrics.csv")));
    } catch (const FormatError& e) {
      EXPECT_NE(e.hint(), "");
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error(""), HasSubstr("the first line is not"));
  EXPECT_THAT(error("epoch,loss\n"), HasSubstr("the first line is not"));
  EXPECT_THAT(error(metrics_header() + "1,2,3,4\n1,2,3\n"), HasSubstr("metrics.csv:3: 3 fields"));
  EXPECT_THAT(error(metrics_header() + "1,2,3,4,5\n"), HasSubstr(":2: 5 fields"));
  EXPECT_THAT(error(metrics_header() + "\n"), HasSubstr(":2: 1 fields"));
  EXPECT_THAT(error(metrics_header() + "1,,3,4\n"), HasSubstr(":2: '' is not a number"));
  EXPECT_THAT(error(metrics_header() + "1,2,3,4x\n"), HasSubstr("'4x' is not a number"));
  EXPECT_THAT(error(metrics_header() + "1, 2,3,4\n"), HasSubstr("' 2' is not a number"));
  EXPECT_THROW(static_cast<void>(read_metrics(file("none"))), IoError);
}

// What a person may have given in the place of a run's file, and what is hinted at.
TEST_F(RunRecord, HintsAtTheRunThatWasMeant) {
  namespace fs = std::filesystem;
  const auto put = [&](const fs::path& path) {
    fs::create_directories(path.parent_path());
    write(path, "x");
  };
  for (const char* name : {kConfigFile, kMetricsFile, kModelFile, "mine.csv"}) put(file("run") / name);
  put(file("begun") / kConfigFile);
  put(file("runs") / "a" / "notes");
  put(file("runs") / "b" / kMetricsFile);
  put(file("runs") / "c" / kMetricsFile);
  fs::create_directories(file("empty"));
  const auto hint = [&](const fs::path& path, const char* wanted = kMetricsFile) {
    return hint_for_run(path, wanted, "otherwise");
  };
  const std::string run = file("run").string();
  EXPECT_EQ(hint("~/run"), unexpanded("~/run"));
  EXPECT_EQ(hint(run), "give " + run + "/metrics.csv");
  EXPECT_EQ(hint(run + "/"), "give " + run + "/metrics.csv");
  EXPECT_EQ(hint(file("runs")),
            "it is a folder of runs: give one of them, e.g. " + (file("runs") / "b").string());
  EXPECT_EQ(hint(file("begun")), "the run in it goes on, or was ended at once");
  EXPECT_EQ(hint(file("empty")), "otherwise");
  EXPECT_EQ(hint(file("none")), "otherwise");
  for (const char* other : {kConfigFile, kModelFile})
    EXPECT_EQ(hint(file("run") / other), "it is another file of a run: give " + run) << other;
  EXPECT_EQ(hint(file("run") / kModelFile, kConfigFile),
            "it is another file of a run: give " + run + "/config.toml");
  EXPECT_EQ(hint(file("run") / kModelFile, kModelFile), "otherwise") << "it is the file itself";
  EXPECT_EQ(hint(file("run") / "mine.csv"), "otherwise");
  EXPECT_EQ(hint(file("begun") / kConfigFile), "otherwise") << "no metrics beside it";
  EXPECT_EQ(hint(run + "/metrics.csv/"), "it is a file: give " + run + "/metrics.csv");
  const fs::path before = fs::current_path();
  fs::current_path(file("run"));
  EXPECT_EQ(hint(kConfigFile), "it is another file of a run: give .");
  fs::current_path(before);
}

TEST_F(RunRecord, ResultSaysWhatAFolderHeld) {
  FitResult result = full_result();
  result.data = data::Dataset::Source::Counts{.bad_files = 2, .duplicates = 3, .overlaps = 4};
  const auto object = nlohmann::json::parse(to_json(result));
  EXPECT_EQ(object.at("bad_files"), 2);
  EXPECT_EQ(object.at("duplicates"), 3);
  EXPECT_EQ(object.at("overlaps"), 4);
}

TEST_F(RunRecord, ConfigGivesASeriesItsNames) {
  const auto series = [&](const std::string& text) {
    write(file("config.toml"), text);
    Series found;
    read_config(file("config.toml"), found);
    return found;
  };
  Series s = series("model = 'resnet18'\ndata = 'cifar10'\nepochs = 7\nsteps = 0\nquiet = true\n");
  EXPECT_EQ(s.model, "resnet18");
  EXPECT_EQ(s.dataset, "cifar10");
  EXPECT_EQ(s.epochs, 7);
  s = series(
      "epochs = 7\nsteps = '40,20:30'\n[model]\nname = 'd2l_resnet18'\nblocks = [1, 1]\n[notes]\nname = "
      "'x'\n");
  EXPECT_EQ(s.model, "d2l_resnet18");
  EXPECT_EQ(s.epochs, 0) << "the steps may end it before";
  EXPECT_THROW(series("epochs = 1.5\n"), FormatError);
  EXPECT_THROW(series("epochs = 'many'\n"), FormatError);
}

}  // namespace
}  // namespace resnet::report

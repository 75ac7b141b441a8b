#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "report/run_record.h"
#include "report/simulated_run.h"

namespace resnet::report {
namespace {

namespace fs = std::filesystem;

class RunFolderTest : public ::testing::Test {
 protected:
  RunFolderTest() : base_(fs::path(::testing::TempDir()) / ("run_folder_" + std::to_string(getpid()))) {
    fs::remove_all(base_);
  }
  ~RunFolderTest() override { fs::remove_all(base_); }

  std::string read(const char* name) const {
    std::ifstream file(folder() / name, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  fs::path folder() const { return base_ / "runs" / "first"; }

  fs::path base_;
};

std::string csv(const std::vector<CurvePoint>& points) {
  std::string text = report::metrics_header();
  for (const CurvePoint& point : points) text += report::metrics_line(point);
  return text;
}

TEST_F(RunFolderTest, HoldsTheRecordsOfARun) {
  Stage stage({});
  simulate(stage, {run_folder(folder())}, small_run());
  EXPECT_EQ(read(report::kMetricsFile), csv(learning(3)));
  const Series series{
      .model = "d2l_resnet18", .dataset = "fashion-mnist", .epochs = 3, .points = learning(3)};
  EXPECT_EQ(read(report::kCurvesFile), curves_svg(std::span(&series, 1)));
  FitResult result;
  result.complete = true;
  EXPECT_EQ(read(report::kResultFile), report::to_json(result) + "\n");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder()), {}), 3) << "no temporary file stays";
}

TEST_F(RunFolderTest, HoldsEveryPointAsSoonAsItIsKnown) {
  const auto points = learning(1);
  const auto observer = run_folder(folder());
  observer->on_start(small_run());
  EXPECT_EQ(read(report::kMetricsFile), report::metrics_header());
  observer->on_point(points[0]);
  observer->on_point(points[1]);
  EXPECT_EQ(read(report::kMetricsFile), csv({points[0], points[1]}));
  EXPECT_FALSE(fs::exists(folder() / report::kCurvesFile));
  observer->on_epoch({}, 0.9);
  EXPECT_TRUE(fs::exists(folder() / report::kCurvesFile));
  EXPECT_FALSE(fs::exists(folder() / report::kResultFile));
}

TEST_F(RunFolderTest, GoesOnAfterTheEarlierPointsOfAResumedRun) {
  const auto points = learning(2);
  fs::create_directories(folder());
  std::ofstream(folder() / report::kMetricsFile) << csv(points) << "2.5,0.1";  // past the checkpoint, and cut
  const auto observer = run_folder(folder());
  RunInfo run = small_run();
  run.curve = {points.begin(), points.begin() + 5};
  observer->on_start(run);
  observer->on_point(points[5]);
  EXPECT_EQ(read(report::kMetricsFile), csv({points.begin(), points.begin() + 6}));
}

TEST_F(RunFolderTest, HasTheDiagnosisOfTheLastStepThatWasNotFinite) {
  const auto observer = run_folder(folder());
  observer->on_start(small_run());
  for (const std::int64_t step : {3, 4}) observer->on_nonfinite({.step = step, .outcome = "skip"});
  EXPECT_EQ(read(report::kDiagnosisFile), report::to_json(Diagnosis{.step = 4, .outcome = "skip"}) + "\n");
}

TEST_F(RunFolderTest, RefusesAFolderThatCannotBe) {
  fs::create_directories(base_);
  std::ofstream(base_ / "runs") << "a file";
  EXPECT_THROW(run_folder(folder())->on_start(small_run()), IoError);
}

TEST_F(RunFolderTest, DoesNotEndARunBecauseARecordFailsAndReportsItAtTheEnd) {
  const auto observer = run_folder(folder());
  observer->on_start(small_run());
  fs::create_directories(folder() / report::kCurvesFile / "in the way");
  observer->on_point(learning(1)[0]);
  EXPECT_NO_THROW(observer->on_epoch({}, 0.9));
  EXPECT_THROW(observer->on_finish({}), IoError);
  fs::remove_all(folder() / report::kCurvesFile);
  fs::remove(folder() / report::kMetricsFile);
  observer->on_finish({});
  EXPECT_EQ(read(report::kMetricsFile), csv({learning(1)[0]}));
}

TEST_F(RunFolderTest, WritesNothingIntoAnotherFolderThatTookItsPlace) {
  const auto observer = run_folder(folder());
  observer->on_start(small_run());
  fs::rename(folder(), folder().string() + " moved");
  fs::create_directories(folder());
  observer->on_point(learning(1)[0]);
  observer->on_epoch({}, 0.9);
  EXPECT_TRUE(fs::is_empty(folder()));
}

// A run that goes back (FitOptions::on_nan) is not the beginning of another one.
TEST_F(RunFolderTest, GoesBackInItsOwnFolderAlone) {
  const auto points = learning(2);
  RunInfo run = small_run();
  const auto observer = run_folder(folder());
  observer->on_start(run);
  for (const CurvePoint& point : points) observer->on_point(point);
  run.curve = {points.begin(), points.begin() + 2};
  observer->on_start(run);
  observer->on_point(points[2]);
  EXPECT_EQ(read(report::kMetricsFile), csv({points.begin(), points.begin() + 3}));
  fs::rename(folder(), folder().string() + " moved");
  fs::create_directories(folder());
  EXPECT_NO_THROW(observer->on_start(run));
  observer->on_point(points[2]);
  EXPECT_TRUE(fs::is_empty(folder()));
  fs::remove_all(folder());
  EXPECT_NO_THROW(observer->on_start(run));
  EXPECT_FALSE(fs::exists(folder()));
}

TEST_F(RunFolderTest, IsReadBackForAPlot) {
  auto points = learning(3);
  points.back().loss = std::numeric_limits<double>::infinity();
  Stage stage({});
  simulate(stage, {run_folder(folder())}, small_run(), points, [](std::int64_t, std::int64_t) {});
  std::ofstream(folder() / report::kConfigFile)
      << "data = 'fashion-mnist'\nmodel = \"d2l_resnet18\"\nepochs = 7\nlr = 0.1\nlater = [1, 2]\n";

  const Series series = load_series(folder() / "");
  EXPECT_EQ(series.name, folder().string());
  EXPECT_EQ(series.model, "d2l_resnet18");
  EXPECT_EQ(series.dataset, "fashion-mnist");
  EXPECT_EQ(series.epochs, 7);
  ASSERT_EQ(series.points.size(), points.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    EXPECT_EQ(series.points[i].x, points[i].x);
    EXPECT_EQ(series.points[i].loss, points[i].loss);
    EXPECT_EQ(series.points[i].train_acc, points[i].train_acc);
    EXPECT_EQ(series.points[i].test_acc, points[i].test_acc);
  }
  EXPECT_EQ(load_series(folder() / report::kMetricsFile).points.size(), points.size());
  EXPECT_EQ(load_series(folder() / report::kMetricsFile).model, "");
}

// A run of some steps ends where its points do, which may be long before its last epoch.
TEST_F(RunFolderTest, OfSomeStepsSaysNothingOfItsLastEpoch) {
  fs::create_directories(folder());
  std::ofstream(folder() / report::kMetricsFile) << csv(learning(1));
  std::ofstream(folder() / report::kConfigFile) << "epochs = 7\nsteps = 20\n";
  EXPECT_EQ(load_series(folder()).epochs, 0);
  std::ofstream(folder() / report::kConfigFile) << "epochs = 7\nsteps = 0\n";
  EXPECT_EQ(load_series(folder()).epochs, 7);
}

TEST_F(RunFolderTest, SaysWhatIsMissing) {
  EXPECT_THROW(load_series(folder()), IoError);
  fs::create_directories(folder());
  EXPECT_THROW(load_series(folder()), IoError);
  std::ofstream(folder() / report::kMetricsFile) << "a,b\n1,2\n";
  EXPECT_THROW(load_series(folder()), FormatError);
  std::ofstream(folder() / report::kMetricsFile) << report::metrics_header();
  EXPECT_NO_THROW(load_series(folder()));
  for (const char* config : {"epochs = ", "epochs = 'many'"}) {
    std::ofstream(folder() / report::kConfigFile) << config;
    EXPECT_THROW(load_series(folder()), FormatError) << config;
  }
}

}  // namespace
}  // namespace resnet::report

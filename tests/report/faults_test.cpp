// The records of a run on a disk that fails.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/files.h"
#include "report/run_record.h"
#include "report/simulated_run.h"
#include "resnet/html_report.h"
#include "support/faulty_files.h"
#include "support/simulated_disk.h"

namespace resnet::report {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(test::kDisk) / "run";

bool same(const CurvePoint& a, const CurvePoint& b) {
  return metrics_line(a) == metrics_line(b);
}

class RunFolderFaults : public testing::Test {
 protected:
  static void clear() {
    std::error_code ignored;
    for (const fs::path& name : list_names(kFolder, ignored)) remove_file(kFolder / name);
  }
  // What a reader finds: some of the points, each as it was.
  static void check_metrics(const test::Tried& tried) {
    const auto known = learning(3);
    if (!is_there(kFolder / kMetricsFile)) {
      EXPECT_FALSE(tried.done) << tried;
      return;
    }
    for (const CurvePoint& point : read_metrics(kFolder / kMetricsFile).points) {
      EXPECT_TRUE(
          std::any_of(known.begin(), known.end(), [&](const CurvePoint& k) { return same(k, point); }))
          << tried << ": " << metrics_line(point);
    }
  }

  test::SimulatedDisk disk_{file_system()};
  test::FilesReplaced replaced_{disk_};
};

TEST_F(RunFolderFaults, OfReadingARunGiveAllOfItOrAnError) {
  Stage stage({});
  simulate(stage, {run_folder(kFolder)}, small_run());
  write_file(kFolder / kConfigFile, "model = 'd2l_resnet18'\nepochs = 3\n");
  const auto page_of = [] {
    const ReportedRun run = load_run(kFolder);
    return html_report(std::span(&run, 1));
  };
  const std::string whole = page_of();
  std::string page;
  const std::int64_t count = test::for_each_fault(
      [] {}, [&] { page = page_of(); },
      [&](const test::Tried& tried) { EXPECT_TRUE(!tried.done || page == whole) << tried; });
  EXPECT_GT(count, 100);
  std::printf("%ld calls have failed\n", static_cast<long>(count));
}

TEST_F(RunFolderFaults, LeaveAllRecordsWhereTheRunSucceeds) {
  const std::int64_t count = test::for_each_fault(
      clear,
      [] {
        Stage stage({});
        simulate(stage, {run_folder(kFolder)}, small_run());
      },
      [](const test::Tried& tried) {
        check_metrics(tried);
        if (!tried.done) return;
        EXPECT_EQ(read_metrics(kFolder / kMetricsFile).points.size(), learning(3).size()) << tried;
        EXPECT_TRUE(is_there(kFolder / kResultFile) && is_there(kFolder / kCurvesFile)) << tried;
      });
  EXPECT_GT(count, 300);
  std::printf("%ld calls have failed\n", static_cast<long>(count));
}

// Killed before its end: what could not be written is missing, and nothing else is harmed.
TEST_F(RunFolderFaults, LeaveWholeLinesWhileTheRunGoesOn) {
  const std::int64_t count = test::for_each_fault(
      clear,
      [] {
        const auto observer = run_folder(kFolder);
        observer->on_start(small_run());
        for (const CurvePoint& point : learning(3)) observer->on_point(point);
      },
      check_metrics);
  EXPECT_GT(count, 100);
  std::printf("%ld calls have failed\n", static_cast<long>(count));
}

}  // namespace
}  // namespace resnet::report

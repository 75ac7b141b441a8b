// The records of a run on the disk, and reading them back for a plot or a page.
#include <fmt/core.h>

#include <optional>
#include <utility>

#include "base/files.h"
#include "base/toml.h"
#include "report/plot.h"
#include "report/run_record.h"
#include "resnet/html_report.h"
#include "resnet/report.h"

namespace resnet {

namespace {

/// Throws at the start, while nothing is lost, and at the end. In between a disk that fails must not
/// end hours of training: everything is written once more, whole, when the run is finished.
class RunFolder : public Observer {
 public:
  explicit RunFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  void on_start(const RunInfo& run) override {
    series_.model = run.model;
    series_.dataset = run.dataset;
    series_.epochs = run.epochs;
    series_.points = run.curve;
    series_.validated = run.val_examples > 0;
    if (std::exchange(begun_, true)) {  // it goes back (FitOptions::on_nan)
      try {
        begin_metrics();
      } catch (const IoError&) {  // on_finish() tries again and reports
      }
      return;
    }
    make_directories(folder_);
    known_ = KnownFolder(folder_);
    begin_metrics();
    // That of a run that had ended and becomes longer is its result no more; on_finish() writes another.
    if (run.done_steps > 0 && run.done_steps < run.steps) remove_file(folder_ / report::kResultFile);
  }

  void on_replan(const RunInfo& run) override { series_.epochs = run.epochs; }

  void on_point(const CurvePoint& point) override {
    series_.points.push_back(point);
    if (metrics_) metrics_->append(report::metrics_line(point));
  }

  void on_epoch(const Progress&, double) override {
    try {
      write_curves();
    } catch (const IoError&) {  // on_finish() tries again and reports
    }
  }

  void on_nonfinite(const Diagnosis& diagnosis) override {
    try {
      write_file(folder_ / report::kDiagnosisFile, report::to_json(diagnosis) + "\n", &known_);
    } catch (const IoError&) {  // what is said of the step must not be lost over its file
    }
  }

  void on_finish(const FitResult& result) override {
    metrics_.reset();
    known_ = KnownFolder(folder_);  // it may have been made again
    write_metrics();
    report::write_result(folder_ / report::kResultFile, result, &known_);
    write_curves();
  }

 private:
  void begin_metrics() {
    metrics_.reset();
    write_metrics();
    metrics_.emplace(folder_ / report::kMetricsFile);
  }
  void write_metrics() const {
    std::string text = report::metrics_header(series_.validated);
    for (const CurvePoint& point : series_.points) text += report::metrics_line(point);
    write_file(folder_ / report::kMetricsFile, text, &known_);
  }
  void write_curves() const {
    write_file(folder_ / report::kCurvesFile, curves_svg(std::span(&series_, 1)), &known_);
  }

  std::filesystem::path folder_;
  KnownFolder known_;  // not another one that took its place
  Series series_;
  std::optional<AppendedFile> metrics_;
  bool begun_ = false;
};

}  // namespace

std::shared_ptr<Observer> run_folder(std::filesystem::path folder) {
  return std::make_shared<RunFolder>(std::move(folder));
}

Series load_series(const std::filesystem::path& run) {
  const std::string wanted = "the folder of a run, or its metrics.csv";
  const auto hint = [&](const std::string& otherwise) {
    return report::hint_for_run(run, report::kMetricsFile, otherwise);
  };
  if (!is_there(run)) {
    throw IoError(fmt::format("there is no file or folder '{}'", run.string()),
                  hint("give the folder of a run"));
  }
  if (report::is_other_file_of_run(run, report::kMetricsFile) && !is_folder(run)) {
    throw FormatError(fmt::format("{} has no curves", run.string()), hint("give " + wanted));
  }
  const bool folder = is_folder(run);
  if (folder) report::check_files(run);
  const std::filesystem::path metrics = folder ? run / report::kMetricsFile : run;
  if (folder && !is_there(metrics)) {
    throw IoError(fmt::format("{} holds no {}", run.string(), report::kMetricsFile),
                  hint("is it the folder of a run?"));
  }
  Series series = report::read_metrics(metrics);
  series.name = run.string();
  while (series.name.size() > 1 && series.name.back() == '/') series.name.pop_back();
  if (const std::filesystem::path config = run / report::kConfigFile; folder && path_exists(config))
    report::read_config(config, series);
  return series;
}

ReportedRun load_run(const std::filesystem::path& folder) {
  if (const PathKind kind = kind_of(folder); kind == PathKind::file || kind == PathKind::other) {
    throw FormatError(fmt::format("{} is no folder of a run", folder.string()),
                      report::hint_for_run(folder, report::kMetricsFile, "give the folder of a run"));
  }
  ReportedRun run{.curves = load_series(folder)};
  if (const auto config = folder / report::kConfigFile; path_exists(config)) {
    for (const TomlEntry& entry : parse_toml(read_text(config), config.string()))
      run.settings.emplace_back(entry.table.empty() ? entry.name : entry.table + "." + entry.name,
                                entry.value.value_or(""));
  }
  if (const auto result = folder / report::kResultFile; path_exists(result))
    run.result = report::read_result(result);
  return run;
}

}  // namespace resnet

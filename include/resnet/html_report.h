// Runs as a page for people: one HTML file that needs nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "resnet/data.h"
#include "resnet/report.h"
#include "resnet/train.h"

namespace resnet {

/// What a page tells of one run; what is not known is left out.
struct ReportedRun {
  Series curves = {};                                              // with the run's name
  std::vector<std::pair<std::string, std::string>> settings = {};  // names and values
  std::optional<FitResult> result = {};                            // none: it has not ended
  std::optional<data::TrainTest> data = {};
  std::optional<Evaluation> evaluation = {};  // of data->test, whose classes are the network's
  double flops = 0;                           // of a training step, an example; 0: not known
  double peak_gflops = 0;                     // of this machine with the run's threads; 0: not measured
};

/// What the folder of a run holds: curves, settings and result; also of a run that goes on. Throws IoError or
/// FormatError where it is no run's folder or one of these files is damaged.
ReportedRun load_run(const std::filesystem::path& folder);

struct HtmlReportOptions {
  std::string title = {};                              // "": what the runs are
  std::int64_t pictures = 1000;                        // at most, of mistakes and cells
  std::int64_t picture_bytes = std::int64_t{6} << 20;  // of all, also of the data's, in the page
  std::function<void(std::int64_t done, std::int64_t all)> seen = {};  // of the pictures
};

/// The page: figures, curves, settings, data, classes, confusion matrix with the pictures behind its cells,
/// worst mistakes, calibration and speed, of several runs side by side. It loads nothing: a
/// Content-Security-Policy allows its own script and style by their hashes, pictures as data and nothing
/// else. What files chose (names of classes, files and runs) stays text. The same runs give the same bytes.
/// Some MB at most: pictures are shrunk to 96 pixels; of a matrix all right answers are there, and those
/// mistakes that have the most examples, 20,000 cells a run. Reads pictures of the data sets; one that cannot be
/// read is left out where its Source knows facts() of it, else its error comes out. Throws ConfigError for no
/// runs or more than 32, and for an evaluation without the data that it was made on.
std::string html_report(std::span<const ReportedRun> runs, const HtmlReportOptions& options = {});

/// A progress bar of html_report() for so many pictures, as test_progress(): to be called with the number
/// that is done.
std::function<void(std::int64_t done)> picture_progress(std::int64_t pictures,
                                                        std::shared_ptr<Screen> screen = nullptr);

}  // namespace resnet

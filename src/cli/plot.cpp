#include "report/plot.h"

#include <fmt/core.h>
#include <unistd.h>

#include "base/files.h"
#include "cli/command.h"
#include "report/run_record.h"
#include "report/seeds.h"
#include "resnet/report.h"

namespace resnet::cli {
namespace {

class Plot final : public Command {
 public:
  Plot() : Command("plot", "Curves of one run or several.") {
    add_runs(runs_);
    add({.name = "svg", .placeholder = "FILE", .help = "write an SVG picture instead", .target = &svg_});
  }

  int run() override {
    std::vector<Series> series;
    std::vector<std::filesystem::path> inputs;
    for (const std::string& given : runs_) {
      for (const std::filesystem::path& file : report::files_of(given)) inputs.push_back(file);
      std::vector<Series> of_given;
      for (const std::filesystem::path& run : report::runs_in(given)) {
        of_given.push_back(load_series(run));
        inputs.push_back(run);  // where it is a file
        for (const std::filesystem::path& file : report::files_of(run)) inputs.push_back(file);
      }
      if (runs_.size() > 1 && of_given.size() > 1) of_given = {report::mean_of(of_given)};
      series.insert(series.end(), of_given.begin(), of_given.end());
    }
    check_outputs({{"--svg", svg_}}, inputs);
    if (!svg_.empty()) {
      const bool seeds = runs_.size() == 1 && series.size() > 1;
      write_file(svg_, seeds ? report::band_svg(series) : curves_svg(series));
      return kDone;
    }
    const Terminal terminal = terminal_of(STDOUT_FILENO);
    TextPlotOptions options;
    options.width = terminal.width;
    options.colors = terminal.colors;
    options.utf8 = terminal.utf8;
    if (options.width < report::kLeastWidth) {
      throw Error(
          fmt::format("a plot needs {} columns, the terminal has {}", report::kLeastWidth, options.width),
          "make it wider, or write a picture with --svg FILE");
    }
    if (series.size() > report::kMostRuns) {
      throw ConfigError(
          fmt::format("a plot in text tells at most {} runs apart, not {}", report::kMostRuns, series.size()),
          "give fewer, or write a picture with --svg FILE");
    }
    fmt::print("{}", curves_text(series, options));
    return kDone;
  }

 private:
  std::vector<std::string> runs_;
  std::string svg_;
};

}  // namespace

std::unique_ptr<Command> make_plot() {
  return std::make_unique<Plot>();
}

}  // namespace resnet::cli

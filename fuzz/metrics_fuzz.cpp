// The records of a run as `resnet plot` reads them: metrics.csv, and behind a NUL byte config.toml. What is
// accepted is written as the same lines again, and drawn.
#include "base/files.h"
#include "base/text.h"
#include "found.h"
#include "report/run_record.h"
#include "resnet/report.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

std::string lines_of(const Series& series) {
  std::string text = report::metrics_header(series.validated);
  for (const CurvePoint& point : series.points) text += report::metrics_line(point);
  return text;
}

bool run(std::string_view input) {
  const std::size_t nul = input.find('\0');
  std::map<std::string, std::string> files = {{report::kMetricsFile, std::string(input.substr(0, nul))}};
  if (nul != std::string_view::npos) files[report::kConfigFile] = input.substr(nul + 1);
  Series series;
  const bool good = with_files(
      files, [&] { return accepted<FormatError>(kFolder, [&] { series = load_series(kFolder); }); });
  if (!good) return false;
  const std::string lines = lines_of(series);
  Series again;
  with_files({{report::kMetricsFile, lines}},
             [&] { again = report::read_metrics(std::string(kFolder) + "/" + report::kMetricsFile); });
  demand(lines_of(again) == lines, "other points are read back");

  const std::string picture = curves_svg(std::span(&series, 1));
  demand(is_utf8(picture) && picture.size() < std::size_t{2} << 20U, "no picture");
  const std::string plot = curves_text(std::span(&series, 1));
  for (std::size_t at = 0; at < plot.size();) {
    const Character c = character_at(plot, at);
    demand(c.printable || c.code == '\n', "a plot that is not printable");
    at += c.bytes;
  }
  return true;
}

}  // namespace

Target metrics_target() {
  const std::string header = report::metrics_header();
  return {
      "metrics",
      run,
      {header + "0.2,2.5,0.1,\n0.4,1.5,0.5,\n1,0.25,0.75,0.5\n", header + "1,inf,nan,0.5\r\n2,-0,1e300,",
       report::metrics_header(true) + "1,2,0.5,0.25\n",
       header + "1,1e-320,0.5,0.5\n" + std::string(1, '\0') + "data = 'idx:x'\nmodel = 'm'\nepochs = 3\n",
       header + "1,1,1,1\n" + std::string(1, '\0') + "steps = 7\n[model]\nname = 'resnet18'\n"},
      words_of(", inf -inf nan 1e300 -1e300 5e-324 9223372036854775807 -0.0 1e19 epochs model data steps = ' "
               "\x1b]0;t\x07 \xe2\x80\xae")};
}

}  // namespace resnet::fuzz

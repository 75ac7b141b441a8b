#include "report/run_record.h"

#include <fmt/core.h>

#include <charconv>
#include <string_view>

#include "base/files.h"
#include "base/json.h"
#include "base/toml.h"
#include "resnet/report.h"
#include "resnet/version.h"

namespace resnet::report {
namespace {

template <class Number>
Number parse_number(std::string_view text, const std::string& place) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw FormatError(fmt::format("{}: '{}' is not a number", place, text),
                      "the file was not written by this program");
  }
  return value;
}

}  // namespace

std::string to_json(const FitResult& result) {
  const Json object = Json::object({{"loss", result.loss},
                                    {"train_acc", result.train_acc},
                                    {"test_acc", result.test_acc},
                                    {"examples_per_second", result.examples_per_second},
                                    {"device", result.device},
                                    {"cpu_model", result.cpu_model},
                                    {"seed", result.seed},
                                    {"epochs", result.epochs},
                                    {"steps", result.steps},
                                    {"threads", result.threads},
                                    {"threads_from", result.threads_from},
                                    {"isa", result.isa},
                                    {"weights_sha256", result.weights_sha256},
                                    {"complete", result.complete},
                                    {"version", kVersion}});
  // The processor's name comes from the system, and need not be UTF-8.
  return object.dump({.replace = true});
}

void write_result(const std::filesystem::path& path, const FitResult& result) {
  write_file(path, to_json(result) + "\n");
}

std::string metrics_header() {
  return "epoch,train_loss,train_acc,test_acc\n";
}

std::string metrics_line(const CurvePoint& point) {
  return fmt::format("{},{},{},{}\n", point.x, point.loss, point.train_acc,
                     point.test_acc < 0 ? "" : fmt::format("{}", point.test_acc));
}

std::vector<CurvePoint> read_metrics(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  const std::string header = metrics_header();
  if (!text.starts_with(header)) {
    throw FormatError(path.string() + ": the first line is not '" + header.substr(0, header.size() - 1) + "'",
                      "is it the metrics.csv of a run?");
  }
  std::vector<CurvePoint> points;
  std::size_t begin = header.size();
  for (int line = 2; begin < text.size(); ++line) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // a line that was being written when the run died
    std::vector<std::string_view> fields;
    std::string_view rest(text.data() + begin, end - begin);
    while (true) {
      const std::size_t comma = rest.find(',');
      fields.push_back(rest.substr(0, comma));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
    const std::string place = fmt::format("{}:{}", path.string(), line);
    if (fields.size() != 4) {
      throw FormatError(fmt::format("{}: {} fields, 4 were expected", place, fields.size()),
                        "the file was not written by this program");
    }
    points.push_back({parse_number<double>(fields[0], place), parse_number<double>(fields[1], place),
                      parse_number<double>(fields[2], place),
                      fields[3].empty() ? -1 : parse_number<double>(fields[3], place)});
    begin = end + 1;
  }
  return points;
}

void read_config(const std::filesystem::path& path, Series& series) {
  for (const auto& [name, value] : parse_toml(read_text(path), path.string())) {
    if (!value) continue;
    if (name == "model") series.model = *value;
    if (name == "data") series.dataset = *value;
    if (name == "epochs") series.epochs = parse_number<std::int64_t>(*value, path.string() + ": epochs");
  }
}

}  // namespace resnet::report

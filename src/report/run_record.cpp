#include "report/run_record.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "base/files.h"
#include "base/json.h"
#include "base/toml.h"
#include "resnet/report.h"
#include "resnet/version.h"

namespace resnet::report {
namespace {

namespace fs = std::filesystem;

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

// The first by name of the folders in `folder` that hold a file `wanted`; empty: none.
fs::path first_run_in(const fs::path& folder, const char* wanted) {
  constexpr std::size_t kMostLookedAt = 1000;
  std::error_code ignored;
  std::vector<fs::path> names = list_names(folder, ignored);
  names.resize(std::min(names.size(), kMostLookedAt));
  for (const fs::path& name : names) {
    if (is_there(folder / name / wanted)) return folder / name;
  }
  return {};
}

}  // namespace

bool is_other_file_of_run(const fs::path& path, const char* wanted) {
  if (path.filename() == wanted) return false;
  const bool model = path.extension() == fs::path(kModelFile).extension();
  return (model && wanted != std::string_view(kModelFile)) ||
         std::ranges::any_of(std::array{kConfigFile, kMetricsFile, kCurvesFile, kResultFile, kDiagnosisFile},
                             [&](const char* name) { return path.filename() == name; });
}

std::vector<fs::path> files_of(const fs::path& run) {
  std::vector<fs::path> files;
  for (const char* name : {kConfigFile, kMetricsFile, kResultFile, kDiagnosisFile, kModelFile, kSummaryFile})
    files.push_back(run / name);
  std::error_code ignored;
  for (const fs::path& kept : list_names(run / kCheckpoints, ignored))
    files.push_back(run / kCheckpoints / kept);
  return files;
}

void check_files(const fs::path& run) {
  for (const char* name : {kConfigFile, kMetricsFile, kResultFile}) {
    if (kind_of(run / name) == PathKind::other)
      throw IoError(fmt::format("{} is a device or a pipe, and no file of a run", (run / name).string()),
                    "give the folder of a run");
  }
}

std::string hint_for_run(const fs::path& path, const char* wanted, const std::string& otherwise) {
  if (std::string tilde = unexpanded(path); !tilde.empty()) return tilde;
  const fs::path given = without_slash(path);
  if (is_folder(given)) {
    if (is_there(given / wanted)) return fmt::format("give {}", (given / wanted).string());
    const fs::path run = first_run_in(given, wanted);
    if (!run.empty()) return fmt::format("it is a folder of runs: give one of them, e.g. {}", run.string());
    if (is_there(given / kConfigFile)) return "the run in it goes on, or was ended at once";
    return otherwise;
  }
  if (kind_of(given) != PathKind::file) return otherwise;
  const fs::path folder = given.has_parent_path() ? given.parent_path() : ".";
  if (is_other_file_of_run(given, wanted) && is_there(folder / wanted)) {
    const bool itself = wanted == std::string_view(kConfigFile);  // else the folder says more than the file
    return fmt::format("it is another file of a run: give {}", (itself ? folder / wanted : folder).string());
  }
  return given != path ? fmt::format("it is a file: give {}", given.string()) : otherwise;
}

std::string to_json(const FitResult& result) {
  Json object = Json::object({{"loss", result.loss},
                              {"train_acc", result.train_acc},
                              {"test_acc", result.test_acc},
                              {"examples_per_second", result.examples_per_second},
                              {"device", result.device},
                              {"device_name", result.device_name},
                              {"cpu_model", result.cpu_model},
                              {"seed", result.seed},
                              {"epochs", result.epochs},
                              {"steps", result.steps},
                              {"step_plan", result.step_plan},
                              {"skipped_steps", result.skipped_steps},
                              {"rollbacks", result.rollbacks},
                              {"seconds", result.seconds},
                              {"best_epoch", result.best_epoch},
                              {"optimizer", result.optimizer},
                              {"threads", result.threads},
                              {"threads_from", result.threads_from},
                              {"isa", result.isa},
                              {"weights_sha256", result.weights_sha256},
                              {"complete", result.complete},
                              {"version", kVersion},
                              {"libraries", result.libraries},
                              {"plan_sha256", result.plan_sha256}});
  if (result.validated) object.add("val_acc", result.val_acc);
  if (result.data) {
    object.add("bad_files", result.data->bad_files);
    object.add("duplicates", result.data->duplicates);
    object.add("overlaps", result.data->overlaps);
    if (result.validated || result.data->val_overlaps > 0)
      object.add("val_overlaps", result.data->val_overlaps);
  }
  // The processor's name comes from the system, and need not be UTF-8.
  return object.dump({.replace = true});
}

std::string to_json(const Diagnosis& d) {
  const auto place = [](const std::optional<NonFinite>& found) {
    if (!found) return Json();
    static constexpr std::array kPlaces = {"images", "state", "output", "gradient", "update"};
    return Json::object({{"place", kPlaces.at(static_cast<std::size_t>(found->place))},
                         {"name", found->name},
                         {"operation", found->operation},
                         {"kind", found->nan ? "nan" : "infinite"}});
  };
  const Json object = Json::object({{"what", to_string(d)},
                                    {"step", d.step},
                                    {"epoch", d.epoch},
                                    {"batch", d.batch},
                                    {"first", place(d.first)},
                                    {"left_in_state", place(d.left)},
                                    {"lr", d.lr},
                                    {"loss", d.loss},
                                    {"loss_before", d.loss_before},
                                    {"skipped_steps", d.skipped},
                                    {"rollbacks", d.rollbacks},
                                    {"outcome", d.outcome},
                                    {"examples", d.examples},
                                    {"version", kVersion}});
  return object.dump({.replace = true});
}

void write_result(const std::filesystem::path& path, const FitResult& result, const KnownFolder* folder) {
  write_file(path, to_json(result) + "\n", folder);
}

std::string metrics_header(bool validated) {
  return validated ? "epoch,train_loss,train_acc,val_acc\n" : "epoch,train_loss,train_acc,test_acc\n";
}

std::string metrics_line(const CurvePoint& point) {
  return fmt::format("{},{},{},{}\n", point.x, point.loss, point.train_acc,
                     point.test_acc < 0 ? "" : fmt::format("{}", point.test_acc));
}

Series read_metrics(const std::filesystem::path& path) {
  constexpr std::size_t kMostPoints = std::size_t{1} << 18U;  // 43,000 epochs
  const std::string text = read_text(path);
  Series read;
  std::vector<CurvePoint>& points = read.points;
  std::size_t begin = 0;
  for (int line = 1;; ++line) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos && line > 1) break;  // a line that was being written when the run died
    std::string_view rest = std::string_view(text).substr(begin, end - begin);
    if (rest.ends_with('\r')) rest.remove_suffix(1);  // a spreadsheet's, or an editor's
    begin = end + 1;
    if (line == 1) {
      const std::string header = metrics_header(), first = std::string(rest) + '\n';
      read.validated = first == metrics_header(true);
      if (end != std::string::npos && (read.validated || first == header)) continue;
      throw FormatError(
          fmt::format("{}: the first line is not '{}'", path.string(), header.substr(0, header.size() - 1)),
          "is it the metrics.csv of a run?");
    }
    const std::string place = fmt::format("{}:{}", path.string(), line);
    std::array<std::string_view, 4> fields;
    const auto count = static_cast<std::size_t>(std::count(rest.begin(), rest.end(), ',')) + 1;
    if (count != fields.size()) {
      throw FormatError(fmt::format("{}: {} fields, {} were expected", place, count, fields.size()),
                        "the file was not written by this program");
    }
    for (std::string_view& field : fields) {
      field = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), field.size() + 1));
    }
    if (points.size() == kMostPoints) {
      throw FormatError(fmt::format("{}: more than {} points", place, kMostPoints),
                        "is it the metrics.csv of a run?");
    }
    points.push_back({parse_number<double>(fields[0], place), parse_number<double>(fields[1], place),
                      parse_number<double>(fields[2], place),
                      fields[3].empty() ? -1 : parse_number<double>(fields[3], place)});
  }
  return read;
}

void read_config(const std::filesystem::path& path, Series& series) {
  bool limited = false;  // by a number of steps, which may end it before its last epoch
  for (const auto& [table, name, value] : parse_toml(read_text(path), path.string())) {
    if (!value) continue;
    if (table == "model" && name == "name") series.model = *value;  // a run's own config has no tables
    if (!table.empty()) continue;
    if (name == "steps") limited = *value != "0";
    if (name == "model") series.model = *value;
    if (name == "data") series.dataset = *value;
    if (name == "epochs") series.epochs = parse_number<std::int64_t>(*value, path.string() + ": epochs");
  }
  if (limited) series.epochs = 0;
}

}  // namespace resnet::report

#include "report/seeds.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "report/plot.h"
#include "report/run_record.h"
#include "resnet/version.h"

namespace resnet::report {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSeedPrefix = "seed-";

std::optional<std::uint64_t> seed_of_folder(const std::string& name) {
  if (!name.starts_with(kSeedPrefix)) return std::nullopt;
  std::uint64_t seed = 0;
  const char* begin = name.data() + kSeedPrefix.size();
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(begin, end, seed);
  if (error != std::errc() || stop != end || name != seed_folder(seed)) return std::nullopt;
  return seed;
}

Spread spread_of_figure(std::span<const FitResult> results, double FitResult::*member) {
  std::vector<double> values;
  for (const FitResult& result : results) values.push_back(result.*member);
  return spread_of(values);
}

// What runs of several seeds are compared by.
struct Figure {
  const char* name;
  double FitResult::*member;
};
std::vector<Figure> figures_of(std::span<const FitResult> results) {
  std::vector<Figure> figures = {{"loss", &FitResult::loss}, {"train_acc", &FitResult::train_acc}};
  if (spread_of_figure(results, &FitResult::val_acc).count > 0)
    figures.push_back({"val_acc", &FitResult::val_acc});
  figures.insert(figures.end(), {{"test_acc", &FitResult::test_acc},
                                 {"examples_per_second", &FitResult::examples_per_second},
                                 {"seconds", &FitResult::seconds}});
  return figures;
}

}  // namespace

std::string seed_folder(std::uint64_t seed) {
  return std::string(kSeedPrefix) + std::to_string(seed);
}

std::vector<fs::path> runs_in(const fs::path& path) {
  if (!is_folder(path) || is_there(path / kMetricsFile)) return {path};
  std::error_code ignored;
  std::map<std::uint64_t, fs::path> found;
  for (const fs::path& name : list_names(path, ignored)) {
    const auto seed = seed_of_folder(name.string());
    if (seed && is_there(path / name / kMetricsFile)) found.emplace(*seed, path / name);
  }
  if (found.empty()) return {path};
  std::vector<fs::path> runs;
  for (auto& [seed, run] : found) runs.push_back(std::move(run));
  return runs;
}

Spread spread_of(std::span<const double> values) {
  Spread spread{0, kNotMeasured, kNotMeasured, kNotMeasured, kNotMeasured};
  double sum = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    spread.least = spread.count == 0 ? value : std::min(spread.least, value);
    spread.most = spread.count == 0 ? value : std::max(spread.most, value);
    sum += value;
    ++spread.count;
  }
  if (spread.count == 0) return spread;
  spread.mean = sum / static_cast<double>(spread.count);
  if (spread.count < 2) return spread;
  double squares = 0;
  for (const double value : values) {
    if (std::isfinite(value)) squares += (value - spread.mean) * (value - spread.mean);
  }
  spread.deviation = std::sqrt(squares / static_cast<double>(spread.count - 1));
  return spread;
}

std::string summary_json(std::span<const FitResult> results, std::int64_t seeds, const std::string& command) {
  const bool complete = static_cast<std::int64_t>(results.size()) == seeds &&
                        std::ranges::all_of(results, [](const FitResult& r) { return r.complete; });
  const std::vector<Figure> figures = figures_of(results);
  Json runs = Json::list();
  for (const FitResult& result : results) {
    Json run = Json::object({{"seed", result.seed}, {"folder", seed_folder(result.seed)}});
    for (const Figure& figure : figures) run.add(figure.name, result.*figure.member);
    run.add("epochs", result.epochs);
    run.add("steps", result.steps);
    run.add("weights_sha256", result.weights_sha256);
    runs.push_back(std::move(run));
  }
  Json object = Json::object({{"seeds", seeds},
                              {"complete", complete},
                              {"command", command},
                              {"version", kVersion},
                              {"runs", runs}});
  constexpr std::pair<const char*, double Spread::*> kKinds[] = {{"mean", &Spread::mean},
                                                                 {"deviation", &Spread::deviation},
                                                                 {"min", &Spread::least},
                                                                 {"max", &Spread::most}};
  for (const auto& [name, member] : kKinds) {
    Json kind = Json::object();
    for (const Figure& figure : figures)
      kind.add(figure.name, spread_of_figure(results, figure.member).*member);
    object.add(name, std::move(kind));
  }
  return object.dump({.replace = true});  // the command has a path, which need not be UTF-8
}

std::string summary_text(std::span<const FitResult> results) {
  const auto figure = [&](double FitResult::*member, int digits) {
    const Spread spread = spread_of_figure(results, member);
    if (spread.count == 0) return std::string("not measured");
    if (spread.count == 1) return fmt::format("{:.{}f}", spread.mean, digits);
    return fmt::format("{:.{}f} ± {:.{}f}", spread.mean, digits, spread.deviation, digits);
  };
  const std::string rate = figure(&FitResult::examples_per_second, 1);
  const std::string val = figure(&FitResult::val_acc, 3);
  return fmt::format("loss {}, train acc {}, {}test acc {}\n{} on {}\n", figure(&FitResult::loss, 3),
                     figure(&FitResult::train_acc, 3), val == "not measured" ? "" : "val acc " + val + ", ",
                     figure(&FitResult::test_acc, 3),
                     rate == "not measured" ? "examples/sec not measured" : rate + " examples/sec",
                     results.empty() ? "cpu" : shown(results.front().device, 60));
}

Band band_of(std::span<const Series> runs) {
  struct Values {
    std::array<std::vector<double>, std::tuple_size_v<decltype(kCurves)>> of;
  };
  std::map<double, Values> by_epoch;
  for (const Series& run : runs) {
    for (const CurvePoint& point : run.points) {
      if (!is_place(point.x)) continue;
      for (std::size_t i = 0; i < kCurves.size(); ++i) {
        const double value = kCurves[i].value(point);
        if (value >= 0 && std::isfinite(value)) by_epoch[point.x].of[i].push_back(value);
      }
    }
  }
  Band band;
  for (Series* series : {&band.mean, &band.low, &band.high}) series->validated = are_validated(runs);
  for (const auto& at_epoch : by_epoch) {
    const double x = at_epoch.first;
    const Values& values = at_epoch.second;
    std::array<Spread, std::tuple_size_v<decltype(kCurves)>> spreads;
    for (std::size_t i = 0; i < spreads.size(); ++i) {
      spreads[i] = spread_of(values.of[i]);
      if (spreads[i].count < 2) spreads[i].mean = -1;  // not measured
    }
    const auto point = [&](double deviations) {
      const auto at = [&](const Spread& s) {
        return s.count < 2 ? -1 : std::max(0.0, s.mean + deviations * s.deviation);
      };
      return CurvePoint{x, at(spreads[0]), at(spreads[1]), at(spreads[2])};
    };
    band.mean.points.push_back(point(0));
    band.low.points.push_back(point(-1));
    band.high.points.push_back(point(1));
  }
  return band;
}

Series mean_of(std::span<const Series> runs) {
  Series mean = runs.front();
  mean.name = fmt::format("{}, mean of {}", fs::path(mean.name).parent_path().string(), runs.size());
  const Series of_all = band_of(runs).mean;
  mean.points = of_all.points;
  mean.validated = of_all.validated;
  constexpr std::array kMembers = {&CurvePoint::loss, &CurvePoint::train_acc, &CurvePoint::test_acc};
  for (std::size_t i = 0; i < kCurves.size(); ++i) {
    std::vector<double> ends;
    double x = 0;
    for (const Series& run : runs) {
      const Last last = last_of(kCurves[i], run);
      if (!last.measured || !std::isfinite(last.value) || !is_place(last.x)) continue;
      ends.push_back(last.value);
      x = std::max(x, last.x);
    }
    const auto point = std::ranges::find(mean.points, x, &CurvePoint::x);
    if (ends.size() > 1 && point != mean.points.end()) (*point).*kMembers.at(i) = spread_of(ends).mean;
  }
  return mean;
}

}  // namespace resnet::report

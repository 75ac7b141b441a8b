#include "report/plot.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace resnet::report {

const std::array<Curve, 3> kCurves = {{
    {"train loss", [](const CurvePoint& p) { return p.loss; }},
    {"train acc", [](const CurvePoint& p) { return p.train_acc; }},
    {"test acc", [](const CurvePoint& p) { return p.test_acc; }},
}};

bool are_validated(std::span<const Series> runs) {
  return !runs.empty() && std::ranges::all_of(runs, &Series::validated);
}

const char* name_of(std::size_t i, std::span<const Series> runs, bool brief) {
  constexpr std::array kShort = {"loss", "train", "test"};
  if (i == 2 && are_validated(runs)) return brief ? "val" : "val acc";
  return brief ? kShort.at(i) : kCurves.at(i).name;
}

namespace {

/// Negative says not measured, for all three.
bool is_measured(double value) {
  return !(value < 0);
}

// "idx:own" of "idx:/data/of/somebody/own": a title has no room for a path.
std::string without_path(const std::string& dataset) {
  const std::size_t colon = dataset.find(':');
  const std::size_t slash = dataset.find_last_of('/');
  if (colon == std::string::npos || slash == std::string::npos || slash + 1 == dataset.size()) return dataset;
  return dataset.substr(0, colon + 1) + dataset.substr(slash + 1);
}

std::vector<std::vector<XY>> thinned(std::vector<std::vector<XY>> pieces) {
  constexpr std::size_t kGroups = 2048;
  struct Point {
    XY at;
    std::size_t piece;
  };
  std::vector<Point> points;
  for (std::size_t k = 0; k < pieces.size(); ++k) {
    for (const XY& at : pieces[k]) points.push_back({at, k});
  }
  if (points.size() <= 4 * kGroups) return pieces;
  const auto by_y = [](const Point& a, const Point& b) { return a.at.y < b.at.y; };
  const auto size = static_cast<std::ptrdiff_t>((points.size() + kGroups - 1) / kGroups);
  for (std::vector<XY>& piece : pieces) piece.clear();
  for (auto begin = points.begin(); begin != points.end();) {
    const auto end = begin + std::min(size, points.end() - begin);
    const auto [low, high] = std::minmax_element(begin, end, by_y);
    for (auto point = begin; point != end; ++point) {
      if (point == begin || point == low || point == high || point == end - 1)
        pieces[point->piece].push_back(point->at);
    }
    begin = end;
  }
  std::erase_if(pieces, [](const std::vector<XY>& piece) { return piece.empty(); });
  return pieces;
}

}  // namespace

char letter_of(std::size_t i) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  static_assert(kLetters.size() == kMostRuns);
  return i < kMostRuns ? kLetters[i] : '?';
}

std::vector<std::vector<XY>> pieces(const Curve& curve, const Series& run) {
  std::vector<std::vector<XY>> result;
  bool gap = true;
  for (const CurvePoint& point : run.points) {
    const double value = curve.value(point);
    if (!is_measured(value)) continue;
    if (!std::isfinite(value) || !is_place(point.x)) {
      gap = true;
      continue;
    }
    if (gap) result.emplace_back();
    gap = false;
    result.back().push_back({point.x, value});
  }
  return thinned(std::move(result));
}

bool is_place(double x) {
  return std::fabs(x) <= kMostEpochs;
}

Last last_of(const Curve& curve, const Series& run) {
  for (auto point = run.points.rbegin(); point != run.points.rend(); ++point) {
    if (is_measured(curve.value(*point))) return {true, point->x, curve.value(*point)};
  }
  return {};
}

Ranges ranges_of(std::span<const Series> runs) {
  Ranges ranges;
  double top = 1;
  for (const Series& run : runs) {
    ranges.x = std::max(ranges.x, std::min(static_cast<double>(run.epochs), kMostEpochs));
    for (const Curve& curve : kCurves) {
      for (const std::vector<XY>& piece : pieces(curve, run)) {
        for (const XY& point : piece) {
          ranges.x = std::max(ranges.x, std::ceil(point.x - 1e-9));
          top = std::max(top, point.y);
        }
      }
    }
  }
  ranges.y = 1.04 * std::min(top, kTallest);
  return ranges;
}

Ticks ticks(double end, int most, bool whole_numbers) {
  Ticks result;
  most = std::max(most, 1);
  double power = whole_numbers ? 1 : std::pow(10, std::floor(std::log10(end / most)));
  for (int digit = 0;; digit = (digit + 1) % 3) {
    result.step = power * (digit == 0 ? 1 : digit == 1 ? 2 : 5);
    if (end / result.step < most + 1e-9) break;
    if (digit == 2) power *= 10;
  }
  result.decimals = std::max(0, static_cast<int>(-std::floor(std::log10(result.step) + 1e-9)));
  for (int i = 0; i * result.step <= end * (1 + 1e-9); ++i) result.at.push_back(i * result.step);
  return result;
}

std::string title_of(std::span<const Series> runs) {
  if (runs.empty()) return "no runs";
  std::string model = runs.front().model, dataset = runs.front().dataset;
  for (const Series& run : runs) {
    if (run.model != model) model.clear();
    if (run.dataset != dataset) dataset.clear();
  }
  std::string title = model.empty() ? "training" : model;
  if (!dataset.empty()) title += " on " + without_path(dataset);
  if (runs.size() > 1) {
    title = model.empty() && dataset.empty() ? fmt::format("{} runs", runs.size())
                                             : fmt::format("{}: {} runs", title, runs.size());
  }
  return title;
}

}  // namespace resnet::report

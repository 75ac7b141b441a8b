#include "report/bar.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "report/text.h"

namespace resnet::report {

namespace {

// With fewer cells a bar shows too little; "Epoch 10/10" with loss and accuracy has 5 in 80 cells.
constexpr int kShortestBar = 4;

/// A bar `width` cells long whose last cell is filled in eighths (ASCII: tenths, as a digit).
std::string fill(double fraction, int width, bool utf8) {
  const int parts = utf8 ? 8 : 10;
  const auto filled = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * width * parts);
  const int whole = filled / parts, rest = filled % parts;
  std::string bar;
  for (int i = 0; i < whole; ++i) bar += utf8 ? "█" : "#";
  if (whole == width) return bar;
  static constexpr const char* kEighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  bar += utf8 ? kEighths[rest] : rest == 0 ? " " : std::to_string(rest);
  bar.append(static_cast<std::size_t>(width - whole - 1), ' ');
  return bar;
}

std::string rate_text(double per_second) {
  if (!(per_second > 0)) return "?it/s";
  return per_second < 1 ? fmt::format("{:5.2f}s/it", 1 / per_second) : fmt::format("{:5.2f}it/s", per_second);
}

}  // namespace

std::string bar_text(const BarState& state, int width, bool utf8) {
  const Progress& p = state.progress;
  const double total = static_cast<double>(std::max<std::int64_t>(state.batches, 1));
  const double fraction = static_cast<double>(p.batch) / total;
  const double rate = state.seconds > 0 ? static_cast<double>(p.batch - state.initial) / state.seconds : 0;
  const double left = rate > 0 ? static_cast<double>(state.batches - p.batch) / rate : -1;

  std::vector<std::string> figures;
  if (p.batch > 0) {
    figures = {"loss=" + figure(p.loss), "acc=" + figure(p.train_acc),
               fmt::format("{:.1f} examples/s", p.examples_per_second)};
    if (p.batch >= state.batches) figures.emplace_back("testing");
  }
  const std::string before = fmt::format("Epoch {}/{}: {:3.0f}%|", p.epoch + 1, state.epochs, fraction * 100);
  bool times = true;
  while (true) {
    std::string after = fmt::format("| {}/{}", p.batch, state.batches);
    if (times) {
      after += fmt::format(" [{}<{}, {}", interval(state.seconds), interval(left), rate_text(rate));
      for (const std::string& figure : figures) after += ", " + figure;
      after += "]";
    }
    const int room = width - cells(before) - cells(after);
    if (room < kShortestBar && !figures.empty()) {
      figures.pop_back();
    } else if (room < 1 && times) {
      times = false;
    } else {
      return clip(before + fill(fraction, std::max(1, room), utf8) + after, width);
    }
  }
}

std::string epoch_text(const Progress& progress, std::int64_t epochs, std::int64_t batches, double test_acc,
                       double seconds, int width) {
  std::vector<std::string> figures = {"loss " + figure(progress.loss),
                                      "train acc " + figure(progress.train_acc)};
  if (test_acc >= 0) figures.push_back("test acc " + figure(test_acc));
  figures.push_back(fmt::format("{:.1f} examples/sec", progress.examples_per_second));
  figures.push_back("[" + interval(seconds) + "]");
  std::string line = fmt::format("epoch {}/{}", progress.epoch + 1, epochs);
  if (batches > 0) line += fmt::format(" ({}/{})", progress.batch, batches);
  for (const std::string& figure : figures) {
    if (width > 0 && cells(line) + 2 + cells(figure) > width) break;
    line += "  " + figure;
  }
  return width > 0 ? clip(line, width) : line;
}

}  // namespace resnet::report

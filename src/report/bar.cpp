#include "report/bar.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/joined.h"
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

/// One way to say all: what stands before the bar, and the figures behind the times.
struct Form {
  std::string before;
  std::vector<std::string> figures;
};

/// `{before}|{bar}{counts} [{times}, {figures}]`, the bar as long as there is room. Each form is shorter than
/// the one before it; the last loses figures from the right.
std::string line_with_bar(std::vector<Form> forms, double fraction, const std::string& counts,
                          const std::string& times, int width, bool utf8) {
  bool timed = true;
  for (std::size_t form = 0;;) {
    auto& [description, figures] = forms[form];
    const std::string before = fmt::format("{}: {:3.0f}%|", description, fraction * 100);
    std::string after = "| " + counts;
    if (timed) {
      after += " [" + times;
      for (const std::string& figure : figures) after += ", " + figure;
      after += "]";
    }
    const int room = width - cells(before) - cells(after);
    if (room < kShortestBar && form + 1 < forms.size()) {
      ++form;
    } else if (room < kShortestBar && !figures.empty()) {
      figures.pop_back();
    } else if (room < 1 && timed) {
      timed = false;
    } else {
      return clip(before + fill(fraction, std::max(1, room), utf8) + after, width);
    }
  }
}

double ratio(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(std::max<std::int64_t>(whole, 1));
}

}  // namespace

std::string bar_text(const BarState& state, int width, bool utf8) {
  const Progress& p = state.progress;
  const bool testing = state.examples > 0;
  const std::int64_t done = testing ? state.tested : p.batch, all = testing ? state.examples : state.batches;
  const std::int64_t initial = testing ? 0 : state.initial;
  const double rate = state.seconds > 0 ? static_cast<double>(done - initial) / state.seconds : 0;
  const double left = rate > 0 ? static_cast<double>(all - done) / rate : -1;

  const std::string epoch = fmt::format("{}/{}{}", p.epoch + 1, state.epochs, testing ? " testing" : "");
  std::vector<std::string> full, brief;
  if (!testing) full.push_back(rate_text(rate));
  if (p.batch > 0) brief = {"loss=" + figure(p.loss), "acc=" + figure(p.train_acc)};
  if (state.run_left >= 0) brief.push_back(interval(state.run_left) + " left");
  full.insert(full.end(), brief.begin(), brief.end());
  if (const double examples = testing ? rate : p.recent_examples_per_second; examples > 0) {
    full.push_back(fmt::format("{:.1f} examples/s", examples));
    brief.push_back(fmt::format("{:.1f}/s", examples));
  }
  return line_with_bar({{"Epoch " + epoch, full}, {"Epoch " + epoch, brief}, {epoch, brief}},
                       ratio(done, all), fmt::format("{}/{}", done, all),
                       fmt::format("{}<{}", interval(state.seconds), interval(left)), width, utf8);
}

std::string test_text(std::int64_t tested, std::int64_t examples, double seconds, int width, bool utf8,
                      const std::string& title, const std::string& unit) {
  const double rate = seconds > 0 ? static_cast<double>(tested) / seconds : 0;
  const double left = rate > 0 ? static_cast<double>(examples - tested) / rate : -1;
  std::vector<std::string> figures;
  if (rate > 0) figures.push_back(fmt::format("{:.1f} {}/s", rate, unit));
  return line_with_bar({{title, figures}}, ratio(tested, examples), fmt::format("{}/{}", tested, examples),
                       fmt::format("{}<{}", interval(seconds), interval(left)), width, utf8);
}

std::string epoch_text(const Progress& progress, std::int64_t epochs, std::int64_t batches, double test_acc,
                       double seconds, int width, double run_left, bool validated) {
  const std::string count = fmt::format("{}/{}", progress.epoch + 1, epochs) +
                            (batches > 0 ? fmt::format(" ({}/{})", progress.batch, batches) : "");
  const std::string time =
      fmt::format("[{}{}]", interval(seconds), run_left >= 0 ? ", " + interval(run_left) + " left" : "");
  const auto figures = [&](bool brief) {
    std::vector<std::string> words = {brief ? count : "epoch " + count, "loss " + figure(progress.loss),
                                      (brief ? "train " : "train acc ") + figure(progress.train_acc)};
    const std::string tested = validated ? "val " : "test ";
    if (test_acc >= 0) words.push_back(tested + (brief ? "" : "acc ") + figure(test_acc));
    if (progress.examples_per_second > 0)
      words.push_back(fmt::format("{:.1f}{}", progress.examples_per_second, brief ? "/s" : " examples/sec"));
    words.push_back(time);
    return words;
  };
  std::vector<std::string> words = figures(false);
  const auto fits = [&](const std::string& line) { return width <= 0 || cells(line) <= width; };
  std::string line = joined(words, "  ");
  if (fits(line)) return line;
  words = figures(true);
  for (const char* between : {"  ", " "}) {
    line = joined(words, between);
    if (fits(line)) return line;
  }
  for (; words.size() > 1 && !fits(line); line = joined(words, " ")) words.pop_back();
  return clip(line, width);
}

}  // namespace resnet::report

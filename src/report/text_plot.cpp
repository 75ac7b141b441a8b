// The plot in cells: braille dots where the terminal has UTF-8, letters where it has not.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/text.h"
#include "report/plot.h"
#include "report/text.h"

namespace resnet {

namespace {

using report::kCurves;
using report::Ranges;
using report::Ticks;
using report::XY;

constexpr int kLeastHeight = 8;
constexpr int kMostCells = 1000;  // either way

/// How a curve looks. The dashes keep the curves apart without colours; the 256-colour values have
/// a contrast of at least 3.4 to black and to white alike.
struct Style {
  const char* sample;   // in the legend
  char letter;          // in ASCII
  const char* color16;  // SGR parameters
  const char* color256;
  int on, off, dot;  // dash, gap and (if any) the dot within a doubled gap, in braille dots
};
constexpr Style kStyles[] = {
    {"──", '*', "34", "38;5;32", 1, 0, 0},
    {"╌╌", '+', "35", "38;5;164", 5, 3, 0},
    {"─·", 'o', "32", "38;5;28", 6, 2, 2},
};

std::string paint(const std::string& text, std::size_t curve, int colors) {
  if (colors == 0) return text;
  return fmt::format("\x1b[{}m{}\x1b[0m", colors >= 256 ? kStyles[curve].color256 : kStyles[curve].color16,
                     text);
}

/// A field of cells, each divided into dots: 2 x 4 in braille, 1 x 1 in ASCII.
class Canvas {
 public:
  Canvas(int width, int height, bool utf8)
      : width_(width),
        height_(height),
        across_(utf8 ? 2 : 1),
        down_(utf8 ? 4 : 1),
        cells_(static_cast<std::size_t>(width * height)) {}

  int dots_x() const { return width_ * across_; }
  int dots_y() const { return height_ * down_; }

  void dot(int x, int y, std::size_t curve) {  // y upwards
    if (x < 0 || y < 0 || x >= dots_x() || y >= dots_y()) return;
    const int row = dots_y() - 1 - y;
    Cell& cell = at(x / across_, row / down_);
    // Unicode numbers the dots 1 2 3 down the left, 4 5 6 down the right, 7 and 8 below them.
    static constexpr int kBit[4][2] = {{0, 3}, {1, 4}, {2, 5}, {6, 7}};
    cell.dots |= 1 << kBit[row % down_][x % across_];
    cell.curve = curve;
  }

  void letter(int x, int y, char letter, std::size_t curve) {
    if (x < 0 || y < 0 || x >= dots_x() || y >= dots_y()) return;
    Cell& cell = at(x / across_, (dots_y() - 1 - y) / down_);
    if (cell.letter != 0) return;  // another run's
    cell.letter = letter;
    cell.curve = curve;
  }

  std::string row(int y, int colors) const {
    std::string line;
    int blanks = 0;
    for (int x = 0; x < width_; ++x) {
      const Cell& cell = cells_[static_cast<std::size_t>(y * width_ + x)];
      if (cell.dots == 0 && cell.letter == 0) {
        ++blanks;
        continue;
      }
      line.append(static_cast<std::size_t>(std::exchange(blanks, 0)), ' ');
      std::string text;
      if (cell.letter != 0) {
        text = cell.letter;
      } else if (down_ == 4) {
        const int code = 0x2800 + cell.dots;
        text = {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3F)),
                static_cast<char>(0x80 | (code & 0x3F))};
      } else {
        text = kStyles[cell.curve].letter;
      }
      line += paint(text, cell.curve, colors);
    }
    return line;
  }

 private:
  struct Cell {
    int dots = 0;
    char letter = 0;
    std::size_t curve = 0;
  };
  Cell& at(int x, int y) { return cells_[static_cast<std::size_t>(y * width_ + x)]; }

  int width_, height_, across_, down_;
  std::vector<Cell> cells_;
};

int scale(double value, double range, int dots) {
  return static_cast<int>(std::lround(std::clamp(value / range, -1.0, 4.0) * (dots - 1)));
}

void draw(Canvas& canvas, std::size_t curve, const Series& run, const Ranges& ranges, bool dashes) {
  const Style& style = kStyles[curve];
  const int period = style.on + style.off + (style.dot != 0 ? style.dot + style.off : 0);
  int walked = 0;
  const auto pen = [&](int x, int y) {
    const int phase = walked++ % period;
    const bool dotted =
        style.dot != 0 && phase >= style.on + style.off && phase < style.on + style.off + style.dot;
    if (!dashes || phase < style.on || dotted) canvas.dot(x, y, curve);
  };
  for (const std::vector<XY>& piece : report::pieces(kCurves[curve], run)) {
    const auto to_x = [&](double x) { return scale(x, ranges.x, canvas.dots_x()); };
    const auto to_y = [&](double y) { return scale(y, ranges.y, canvas.dots_y()); };
    int x = to_x(piece.front().x), y = to_y(piece.front().y);
    canvas.dot(x, y, curve);
    if (piece.size() == 1 && dashes) {  // a single dot is easily overlooked
      canvas.dot(x - 1, y, curve);
      canvas.dot(x, y + 1, curve);
      canvas.dot(x - 1, y + 1, curve);
    }
    for (std::size_t i = 1; i < piece.size(); ++i) {
      const int x1 = to_x(piece[i].x), y1 = to_y(piece[i].y);
      const int steps = std::max({std::abs(x1 - x), std::abs(y1 - y), 1});
      for (int s = 1; s <= steps; ++s) {
        pen(x + static_cast<int>(std::lround(static_cast<double>((x1 - x) * s) / steps)),
            y + static_cast<int>(std::lround(static_cast<double>((y1 - y) * s) / steps)));
      }
      x = x1;
      y = y1;
    }
  }
}

/// The letters of run `i` on its curves, where those of other runs have none: runs that lie on each other can
/// still be told apart.
void name_run(Canvas& canvas, std::span<const Series> runs, std::size_t i, const Ranges& ranges) {
  constexpr double kTimes = 4;  // a letter so often over the width
  const double step = ranges.x / kTimes;
  const char name = report::letter_of(i);
  for (std::size_t curve = 0; curve < kCurves.size(); ++curve) {
    const auto put = [&](double x, double y) {
      canvas.letter(scale(x, ranges.x, canvas.dots_x()), scale(y, ranges.y, canvas.dots_y()), name, curve);
    };
    const double first = step * (static_cast<double>(i) + 0.5) / static_cast<double>(runs.size());
    int n = 0;
    const auto next = [&] { return first + step * n; };
    for (const std::vector<XY>& piece : report::pieces(kCurves[curve], runs[i])) {
      for (std::size_t k = 1; k < piece.size(); ++k) {
        const XY &from = piece[k - 1], &to = piece[k];
        for (; next() <= std::min(to.x, ranges.x); ++n) {
          if (next() < from.x || from.x == to.x) continue;
          put(next(), from.y + (to.y - from.y) * (next() - from.x) / (to.x - from.x));
        }
      }
    }
    const report::Last last = report::last_of(kCurves[curve], runs[i]);
    if (last.measured && std::isfinite(last.value) && report::is_place(last.x)) put(last.x, last.value);
  }
}

std::string legend(std::span<const Series> runs, const TextPlotOptions& options) {
  // With the values of the only run; where that is too long, first words are shortened, then values left out.
  struct Form {
    bool values, words;
  };
  for (const auto& [values, words] : {Form{true, true}, {true, false}, {false, true}, {false, false}}) {
    std::string line;
    for (std::size_t i = 0; i < kCurves.size(); ++i) {
      const std::string sample = options.utf8 ? kStyles[i].sample : std::string(1, kStyles[i].letter);
      line += (i == 0 ? "" : "   ") + paint(sample, i, options.colors) + " ";
      line += report::name_of(i, runs, !words);
      if (!values || runs.size() != 1) continue;
      if (const report::Last last = report::last_of(kCurves[i], runs[0]); last.measured) {
        line += " " + report::figure(last.value);
      }
    }
    const bool last = !values && !words;
    if (last || report::cells(line) <= options.width) return report::clip(line, options.width);
  }
  return {};
}

/// Tick marks and labels below the field; `to_x` gives the cell of a tick.
template <class ToX>
std::pair<std::string, std::string> x_axis(const Ticks& ticks, int width, bool utf8, const ToX& to_x) {
  std::vector<bool> marked(static_cast<std::size_t>(width), false);
  std::string labels(static_cast<std::size_t>(width), ' ');
  for (const double tick : ticks.at) {
    if (tick == 0) continue;  // the corner, labelled by the other axis
    const int x = to_x(tick);
    const std::string label = fmt::format("{:.0f}", tick);
    const int length = static_cast<int>(label.size());
    const int begin = std::clamp(x - (length - 1) / 2, 0, std::max(0, width - length));
    marked[static_cast<std::size_t>(x)] = true;
    labels.replace(static_cast<std::size_t>(begin), label.size(), label);
  }
  std::string line;
  for (const bool mark : marked) line += utf8 ? (mark ? "┬" : "─") : (mark ? "+" : "-");
  labels.erase(labels.find_last_not_of(' ') + 1);
  return {line, labels};
}

std::string table(std::span<const Series> runs, int width, bool utf8) {
  std::string text;
  int longest = 0;
  for (const Series& run : runs) longest = std::max(longest, report::cells(printable(run.name)));
  // Behind the name: for each curve two spaces (or one), its name, a space and a value.
  constexpr int kLetter = 2, kWords = 51, kShortWords = 34, kLeastName = 8;
  const bool words = width >= kLetter + kLeastName + kWords;
  longest = std::clamp(longest, 1, std::max(1, width - kLetter - (words ? kWords : kShortWords)));
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::string name = report::shorten(printable(runs[i].name), longest, utf8);
    name.append(static_cast<std::size_t>(longest - report::cells(name)), ' ');
    std::string line = fmt::format("{} {}", report::letter_of(i), name);
    for (std::size_t k = 0; k < kCurves.size(); ++k) {
      const report::Last last = report::last_of(kCurves[k], runs[i]);
      line += fmt::format("{} {} {:>5}", words ? " " : "", report::name_of(k, runs, !words),
                          last.measured ? report::figure(last.value) : "-");
    }
    text += report::clip(line, width) + "\n";
  }
  return text;
}

}  // namespace

std::string curves_text(std::span<const Series> runs, const TextPlotOptions& wanted) {
  TextPlotOptions options = wanted;
  options.width = std::min(options.width, kMostCells);
  options.height = std::min(options.height, kMostCells);
  if (options.width < report::kLeastWidth || options.height < kLeastHeight) return {};
  const Ranges ranges = report::ranges_of(runs);
  const int rows = options.height - 3;  // legend, axis, labels
  const Ticks y_ticks = report::ticks(ranges.y, std::max(2, rows / 2), false);
  const int label_width =
      std::max(5, static_cast<int>(fmt::format("{:.{}f}", y_ticks.at.back(), y_ticks.decimals).size()));
  const int gutter = label_width + 2;  // label, space, axis
  const int columns = options.width - gutter;
  const int label_room = static_cast<int>(fmt::format("{:.0f}", ranges.x).size()) + 2;
  const Ticks x_ticks = report::ticks(ranges.x, std::max(1, std::min(columns / label_room, 20)), true);

  Canvas canvas(columns, rows, options.utf8);
  for (std::size_t curve = 0; curve < kCurves.size(); ++curve) {
    for (const Series& run : runs) draw(canvas, curve, run, ranges, options.utf8);
  }
  for (std::size_t i = 0; runs.size() > 1 && i < runs.size(); ++i) name_run(canvas, runs, i, ranges);

  std::vector<std::string> labels(static_cast<std::size_t>(rows));
  for (const double tick : y_ticks.at) {
    if (tick == 0) continue;
    const double dots = rows * (options.utf8 ? 4 : 1);
    const int row =
        rows - 1 - static_cast<int>(std::lround(tick / ranges.y * (dots - 1))) / (options.utf8 ? 4 : 1);
    labels[static_cast<std::size_t>(std::clamp(row, 0, rows - 1))] =
        fmt::format("{:.{}f}", tick, y_ticks.decimals);
  }
  std::string text = legend(runs, options) + "\n";
  for (int row = 0; row < rows; ++row) {
    const std::string& label = labels[static_cast<std::size_t>(row)];
    text += fmt::format("{:>{}} ", label, label_width);
    text += options.utf8 ? (label.empty() ? "│" : "┤") : (label.empty() ? "|" : "+");
    text += canvas.row(row, options.colors) + "\n";
  }
  const auto [line, numbers] = x_axis(x_ticks, columns, options.utf8, [&](double tick) {
    return scale(tick, ranges.x, canvas.dots_x()) / (options.utf8 ? 2 : 1);
  });
  text += fmt::format("{:>{}} {}{}\n", "0", label_width, options.utf8 ? "└" : "+", line);
  text += fmt::format("{:>{}}  {}\n", "epoch", label_width, numbers);
  if (runs.size() > 1) text += table(runs, options.width, options.utf8);
  return text;
}

}  // namespace resnet

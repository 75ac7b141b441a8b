// Draws a network as the chapter's figures do: boxes from top to bottom, a frame around each residual
// block with its shortcut at the side, and "× n" at blocks that repeat.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "nn/drawing_parts.h"
#include "resnet/nn.h"

namespace resnet::nn {
namespace {

// Pixels.
constexpr int kBox = 26, kBoxWidth = 158, kSideWidth = 138;
constexpr int kGap = 16;           // between boxes: an arrow
constexpr int kPad = 22;           // inside a frame
constexpr int kRadius = kBox / 2;  // of a sum
constexpr int kMargin = 56;        // left of a column: "× n"
constexpr int kTop = 74;           // where columns begin
constexpr int kGutter = 14;        // right of a column

// Where a skip runs: its middle, right of the trunk's middle; wider ones outside of those they span.
std::vector<int> lanes_of(const Part& part) {
  std::vector<std::size_t> order(part.skips.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto length = [&](std::size_t i) { return part.skips[i].to - part.skips[i].from; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return length(a) < length(b); });
  std::vector<int> lanes(part.skips.size());
  int right = kBoxWidth / 2;
  for (const std::size_t i : order) {
    const int half = part.skips[i].boxes.empty() ? 0 : kSideWidth / 2;
    lanes[i] = right + kPad + half;
    right = lanes[i] + half;
  }
  return lanes;
}

int width_right_of_middle(const Part& part) {
  int right = kBoxWidth / 2;
  const std::vector<int> lanes = lanes_of(part);
  for (std::size_t i = 0; i < lanes.size(); ++i)
    right = std::max(right, lanes[i] + (part.skips[i].boxes.empty() ? 0 : kSideWidth / 2));
  return part.skips.empty() ? right : right + kPad;
}

// From a part's top to its first box.
int entry_of(const Part& part) {
  return part.skips.empty() ? 0 : kPad;
}

int height_of(const Part& part) {
  const auto n = static_cast<int>(part.boxes.size());
  return n * kBox + (n - 1) * kGap + 2 * entry_of(part);
}

constexpr const char* kStyle = R"(<style>
.net text { font: 13px system-ui, sans-serif; text-anchor: middle; fill: #1c2024; }
.net .title { font-size: 16px; font-weight: 600; text-anchor: start; }
.net .shape { font-size: 11px; text-anchor: start; fill: #59636e; }
.net .times { font-size: 16px; font-weight: 600; text-anchor: end; }
.net rect, .net circle { stroke: #818b98; fill: #f6f8fa; }
.net .page { stroke: none; fill: #ffffff; }
.net .weights { fill: #d3e5fd; } .net .norm { fill: #ddf2e3; } .net .relu { fill: #fdeccf; } .net .pool { fill: #ebdff8; }
.net .frame { fill: none; stroke: #afb8c1; stroke-dasharray: 4 3; }
.net path { fill: none; stroke: #59636e; stroke-width: 1.5; } .net .skip { stroke: #c2410c; }
@media (prefers-color-scheme: dark) {
  .net text { fill: #e6edf3; } .net .shape { fill: #9198a1; }
  .net rect, .net circle { stroke: #656c76; fill: #212830; }
  .net .page { fill: #0d1117; }
  .net .weights { fill: #1f3d66; } .net .norm { fill: #1f4730; } .net .relu { fill: #57401a; } .net .pool { fill: #432f5c; }
  .net .frame { fill: none; stroke: #4c535c; }
  .net path { stroke: #9198a1; } .net .skip { stroke: #fb923c; }
}
</style>
<defs>
<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M1 1 7 4 1 7"/></marker>
<marker id="skip-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path class="skip" d="M1 1 7 4 1 7"/></marker>
</defs>
)";

class Drawing {
 public:
  std::string draw(const std::string& title, const Shape& images, const std::vector<Part>& parts) {
    middle_ = kMargin + kPad + kBoxWidth / 2;
    const int limit = column_height(parts);
    Shape shape = images;
    int from_x = middle_, from_y = kTop - kGap - 4;
    label(middle_ + 8, from_y + 2, shape);
    int y = kTop, right = 0, bottom = 0;
    for (const Part& part : parts) {
      if (y > kTop && y + height_of(part) > limit) {
        const int gutter = middle_ + right + kGutter;
        middle_ = gutter + kMargin + kPad + kBoxWidth / 2;
        write("<path marker-end=\"url(#tip)\" d=\"M{} {}V{}H{}V{}H{}V{}\"/>\n", from_x, from_y, from_y + kGap,
              gutter, kTop - kGap - 4, middle_, kTop + entry_of(part));
        label(middle_ + 8, kTop - kGap / 2, shape);
        y = kTop;
        right = 0;
      } else {
        write("<path marker-end=\"url(#tip)\" d=\"M{} {}V{}\"/>\n", from_x, from_y, y + entry_of(part));
      }
      draw_part(part, y);
      y += height_of(part);
      if (!(part.boxes.back().output == shape)) {
        shape = part.boxes.back().output;
        label(middle_ + 8, y + kGap / 2 + 1, shape);
      }
      from_x = middle_;
      from_y = y;
      bottom = std::max(bottom, y);
      right = std::max(right, width_right_of_middle(part));
      y += kGap + 4;
    }
    const int width = std::max(middle_ + right + kGutter, 300);
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"net\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
        "height=\"{1}\" role=\"img\">\n<title>{2}</title>\n{3}<rect class=\"page\" width=\"{0}\" "
        "height=\"{1}\"/>\n<text class=\"title\" x=\"{4}\" "
        "y=\"28\">{2}</text>\n{5}</svg>\n",
        width, bottom + 2 * kGap, xml_text(title), kStyle, kMargin, body_);
  }

 private:
  template <class... T>
  void write(const char* format, const T&... values) {
    body_ += fmt::format(fmt::runtime(format), values...);
  }

  // So many columns that the picture is about as wide as high.
  static int column_height(const std::vector<Part>& parts) {
    int total = 0, highest = 0;
    for (const Part& part : parts) {
      total += height_of(part) + kGap + 4;
      highest = std::max(highest, height_of(part));
    }
    constexpr double kColumn = 400;  // about the width of one
    const int columns = std::max(1, static_cast<int>(std::lround(std::sqrt(total / kColumn))));
    return kTop + std::max(highest, total / columns + highest / 3);
  }

  void label(int x, int y, const Shape& shape) {
    write("<text class=\"shape\" x=\"{}\" y=\"{}\" dy=\".35em\">{}</text>\n", x, y, extents(shape));
  }

  void draw_box(const Box& box, int x, int y, int width) {
    if (box.kind == "sum") {
      write("<circle cx=\"{}\" cy=\"{}\" r=\"{}\"/>", x, y + kBox / 2, kRadius);
    } else {
      write("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\"/>", box.kind,
            x - width / 2, y, width, kBox);
    }
    write("<text x=\"{}\" y=\"{}\" dy=\".35em\">{}</text>\n", x, y + kBox / 2, xml_text(box.text));
  }

  void draw_part(const Part& part, int top) {
    const bool block = !part.skips.empty();
    const int first = top + entry_of(part);
    const auto row = [&](std::size_t i) { return first + static_cast<int>(i) * (kBox + kGap); };
    if (block) {
      const int left = middle_ - kBoxWidth / 2 - kPad;
      write("<rect class=\"frame\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"10\"/>\n", left, top,
            middle_ + width_right_of_middle(part) - left, height_of(part));
      if (part.times > 1) {
        write("<text class=\"times\" x=\"{}\" y=\"{}\" dy=\".35em\">× {}</text>\n", left - 6,
              top + height_of(part) / 2, part.times);
      }
      write("<path d=\"M{} {}V{}\"/>\n", middle_, top + height_of(part) - kPad, top + height_of(part));
    }
    for (std::size_t i = 0; i < part.boxes.size(); ++i) {
      if (i > 0) write("<path marker-end=\"url(#tip)\" d=\"M{} {}V{}\"/>\n", middle_, row(i) - kGap, row(i));
      draw_box(part.boxes[i], middle_, row(i), kBoxWidth);
    }
    const std::vector<int> lanes = lanes_of(part);
    for (std::size_t i = 0; i < part.skips.size(); ++i) {
      const Skip& skip = part.skips[i];
      const int fork = skip.from == 0 ? top + kPad / 2 : row(skip.from) - kGap / 2;
      draw_skip(skip, middle_ + lanes[i], fork, row(skip.to) + kBox / 2);
    }
  }

  // Out of the trunk at `fork`, down through its own boxes, into the sum at `end`.
  void draw_skip(const Skip& skip, int x, int fork, int end) {
    const auto n = static_cast<int>(skip.boxes.size());
    if (n == 0) {
      write("<path class=\"skip\" marker-end=\"url(#skip-tip)\" d=\"M{} {}H{}V{}H{}\"/>\n", middle_, fork, x,
            end, middle_ + kRadius);
      return;
    }
    int y = (fork + end - n * kBox - (n - 1) * kGap) / 2;
    write("<path class=\"skip\" marker-end=\"url(#skip-tip)\" d=\"M{} {}H{}V{}\"/>\n", middle_, fork, x, y);
    for (const Box& box : skip.boxes) {
      if (&box != &skip.boxes.front()) {
        write("<path class=\"skip\" marker-end=\"url(#skip-tip)\" d=\"M{} {}V{}\"/>\n", x, y - kGap, y);
      }
      draw_box(box, x, y, kSideWidth);
      y += kBox + kGap;
    }
    write("<path class=\"skip\" marker-end=\"url(#skip-tip)\" d=\"M{} {}V{}H{}\"/>\n", x, y - kGap, end,
          middle_ + kRadius);
  }

  int middle_ = 0;  // of the column's trunk
  std::string body_;
};

}  // namespace

std::string drawing(const Module& module, const Shape& images) {
  const graph::Graph graph = trace(module, images, Mode::eval);
  const std::string title = module.title() == "custom" ? module.kind() : module.title();
  return Drawing().draw(title, images, parts_of(graph));
}

}  // namespace resnet::nn

// Draws a network as the chapter's figures do: boxes from top to bottom, a shortcut as a line around
// what it skips.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "nn/build.h"
#include "resnet/nn.h"

namespace resnet::nn {
namespace {

constexpr int kBox = 26;      // height of a box, pixels
constexpr int kGap = 14;      // between boxes
constexpr int kWidth = 190;   // of a box
constexpr int kColumn = 150;  // x of the boxes' middle, and of the next column's from the last
constexpr int kColumnStep = 340;
constexpr int kRows = 26;  // boxes of a column

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string text_of(const graph::Graph& graph, const graph::Node& node) {
  const std::string op(node.op->name());
  if (op == "conv2d") {
    const Shape& w = graph.value(node.inputs[1]).type.shape;
    const auto& stride = node.attributes.integers("stride");
    const std::string by = stride[0] == 1 && stride[1] == 1 ? "" : fmt::format(" / {}", stride[0]);
    return fmt::format("{}×{} conv, {}{}", w[2], w[3], w[0], by);
  }
  if (op == "linear") return fmt::format("fully connected, {}", graph.value(node.outputs[0]).type.shape[1]);
  if (op == "batch_norm") return "batch norm";
  if (op == "relu") return "ReLU";
  if (op == "add") return "+";
  if (op == "max_pool" || op == "avg_pool") {
    const auto& kernel = node.attributes.integers("kernel");
    return fmt::format("{}×{} {} pool / {}", kernel[0], kernel[1], op == "max_pool" ? "max" : "average",
                       node.attributes.integers("stride")[0]);
  }
  if (op == "global_avg_pool") return "global average pool";
  return op;
}

struct Place {
  int x = 0, y = 0;
};

Place place_of(int row) {
  return {kColumn + row / kRows * kColumnStep, 40 + row % kRows * (kBox + kGap)};
}

class Drawing {
 public:
  explicit Drawing(const graph::Graph& graph) : graph_(graph) {}

  std::string draw(const std::string& title) {
    const auto nodes = static_cast<int>(graph_.nodes().size());
    row_of_.assign(graph_.values().size(), -1);
    int row = 0;
    for (int k = 0; k < nodes; ++k) {
      const graph::Node& node = graph_.nodes()[static_cast<std::size_t>(k)];
      const std::string op(node.op->name());
      if (op == "flatten") {  // moves nothing that a figure shows
        row_of_[index(node.outputs[0])] = row_of_[index(node.inputs[0])];
        continue;
      }
      for (const graph::ValueId id : node.outputs) row_of_[index(id)] = row;
      box(node, op, row);
      connect(node, op, row);
      ++row;
    }
    const int columns = (row + kRows - 1) / kRows;
    const int width = kColumn + (columns - 1) * kColumnStep + kWidth;
    const int height = 40 + std::min(row, kRows) * (kBox + kGap) + 20;
    return fmt::format(
        R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img">
<title>{2}</title>
<style>
text {{ font: 13px system-ui, sans-serif; text-anchor: middle; dominant-baseline: central; fill: #1c2024; }}
rect {{ stroke: #8b949e; fill: #f6f8fa; }} .conv2d, .linear {{ fill: #cfe3fc; }} .batch_norm {{ fill: #e3f2dd; }}
.relu {{ fill: #fdebd0; }} .pool {{ fill: #eadcf5; }} circle {{ stroke: #57606a; fill: #ffffff; }}
path {{ stroke: #57606a; fill: none; stroke-width: 1.4; }} .skip {{ stroke: #c2410c; }}
@media (prefers-color-scheme: dark) {{
 text {{ fill: #e6edf3; }} rect {{ stroke: #6e7681; fill: #21262d; }} .conv2d, .linear {{ fill: #1f3a5f; }}
 .batch_norm {{ fill: #23402a; }} .relu {{ fill: #54391a; }} .pool {{ fill: #3d2a52; }}
 circle {{ stroke: #8b949e; fill: #161b22; }} path {{ stroke: #8b949e; }} .skip {{ stroke: #fb923c; }}
}}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M1 1 7 4 1 7"/></marker></defs>
<text x="{3}" y="16">{2}</text>
{4}</svg>
)",
        width, height, escaped(title), width / 2, body_);
  }

 private:
  static std::size_t index(graph::ValueId id) { return static_cast<std::size_t>(id); }

  void box(const graph::Node& node, const std::string& op, int row) {
    const auto [x, y] = place_of(row);
    const auto out = std::back_inserter(body_);
    if (op == "add") {
      fmt::format_to(out, "<circle cx=\"{}\" cy=\"{}\" r=\"12\"/>", x, y + kBox / 2);
    } else {
      const std::string kind = op.find("pool") != std::string::npos ? "pool" : op;
      fmt::format_to(out, "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"5\"/>", kind,
                     x - kWidth / 2, y, kWidth, kBox);
    }
    fmt::format_to(out, "<text x=\"{}\" y=\"{}\">{}</text>\n", x, y + kBox / 2,
                   escaped(text_of(graph_, node)));
  }

  // The first operand comes straight from above; what comes from farther goes around.
  void connect(const graph::Node& node, const std::string& op, int row) {
    const std::size_t operands = op == "add" ? 2 : 1;
    for (std::size_t i = 0; i < operands; ++i) {
      const int from = row_of_[index(node.inputs[i])];
      if (from < 0) continue;
      const auto [x0, y0] = place_of(from);
      const auto [x1, y1] = place_of(row);
      const auto out = std::back_inserter(body_);
      const int middle = kBox / 2;
      if (from == row - 1 && x0 == x1) {
        fmt::format_to(out, "<path marker-end=\"url(#tip)\" d=\"M{} {} V{}\"/>\n", x0, y0 + kBox, y1);
      } else if (x0 == x1) {
        const int side = x0 + kWidth / 2 + (i == 0 ? 18 : 32);
        const int end = op == "add" ? x1 + 12 : x1 + kWidth / 2;
        fmt::format_to(out, "<path class=\"skip\" marker-end=\"url(#tip)\" d=\"M{} {} H{} V{} H{}\"/>\n",
                       x0 + kWidth / 2 - (kWidth / 2 - (graph_op(from) == "add" ? 12 : kWidth / 2)),
                       y0 + middle, side, y1 + middle, end);
      } else {
        const int side = x1 - kWidth / 2 - (i == 0 ? 24 : 36);
        const int end = op == "add" ? x1 - 12 : x1 - kWidth / 2;
        fmt::format_to(out, "<path class=\"{}\" marker-end=\"url(#tip)\" d=\"M{} {} H{} V{} H{}\"/>\n",
                       from == row - 1 ? "" : "skip", x0 + kWidth / 2, y0 + middle, side, y1 + middle, end);
      }
    }
  }

  std::string graph_op(int row) const {
    for (const graph::Node& node : graph_.nodes()) {
      if (row_of_[index(node.outputs[0])] == row && node.op->name() != "flatten")
        return std::string(node.op->name());
    }
    return "";
  }

  const graph::Graph& graph_;
  std::vector<int> row_of_;  // of values: the row of their box
  std::string body_;
};

}  // namespace

std::string drawing(const Module& module, const Shape& images) {
  const graph::Graph graph = trace(module, images, Mode::eval);
  return Drawing(graph).draw(fmt::format("{} for {}", module.title(), to_string(images)));
}

}  // namespace resnet::nn

#include "nn/drawing_parts.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "base/joined.h"
#include "ops/activation.h"
#include "ops/add.h"
#include "ops/avg_pool.h"
#include "ops/batch_norm.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/flatten.h"
#include "ops/max_pool.h"
#include "ops/mul.h"
#include "ops/relu.h"

namespace resnet::nn {
namespace {

std::string by(ops::Pair pixels) {
  if (pixels.h == pixels.w) return fmt::format("/{}", pixels.h);
  return fmt::format("/{}×{}", pixels.h, pixels.w);
}

Box box_of(const graph::Graph& graph, const graph::Node& node) {
  const Shape& output = graph.value(node.outputs[0]).type.shape;
  if (const auto* conv = ops::as<ops::Conv2d>(node)) {
    const Shape& w = graph.value(node.inputs[1]).type.shape;
    const auto& [stride, padding, dilation, groups] = conv->options().window;
    std::string text = fmt::format("{}×{} conv, {}", w[2], w[3], w[0]);
    if (stride.h != 1 || stride.w != 1) text += ", " + by(stride);
    if (groups != 1) text += fmt::format(", {} groups", groups);
    return {"weights", text, output};
  }
  if (ops::as<ops::Linear>(node) != nullptr)
    return {"weights", fmt::format("fully connected, {}", output[1]), output};
  if (ops::as<ops::BatchNorm>(node) != nullptr) return {"norm", "batch norm", output};
  if (ops::as<ops::Relu>(node) != nullptr) return {"relu", "ReLU", output};
  if (ops::as<ops::Add>(node) != nullptr) return {"sum", "+", output};
  if (ops::as<ops::Sigmoid>(node) != nullptr) return {"relu", "sigmoid", output};
  if (ops::as<ops::Silu>(node) != nullptr) return {"relu", "SiLU", output};
  if (ops::as<ops::Gelu>(node) != nullptr) return {"relu", "GELU", output};
  if (ops::as<ops::Mul>(node) != nullptr) return {"sum", "×", output};
  if (ops::as<ops::GlobalAvgPool>(node) != nullptr) return {"pool", "global average pool", output};
  const auto* max = ops::as<ops::MaxPool>(node);
  const auto* average = ops::as<ops::AvgPool>(node);
  if (max != nullptr || average != nullptr) {
    const ops::PoolWindow& window = max != nullptr ? max->window() : average->window();
    return {"pool",
            fmt::format("{}×{} {} pool, {}", window.kernel.h, window.kernel.w,
                        max != nullptr ? "max" : "average", by(window.stride)),
            output};
  }
  return {"other", std::string(node.op->name()), output};
}

/// Whether two values of the network meet in it.
bool joins(const graph::Node& node) {
  return ops::as<ops::Add>(node) != nullptr || ops::as<ops::Mul>(node) != nullptr ||
         ops::as<ops::Concat>(node) != nullptr;
}

class Reader {
 public:
  explicit Reader(const graph::Graph& graph) : graph_(graph) {
    depth_.assign(graph.values().size(), 0);
    for (const graph::Node& node : graph.nodes()) {
      for (const auto id : node.outputs) {
        if (id != graph::kNone) depth_[at(id)] = depth_[at(trunk_input(node))] + 1;
      }
    }
    follow_trunk();
    find_skips();
  }

  std::vector<Part> parts() const {
    std::vector<Part> parts;
    for (std::size_t first = 0; first < boxes_.size();) {
      const std::size_t end = end_of_part(first);
      Part part;
      part.boxes.assign(boxes_.begin() + static_cast<std::ptrdiff_t>(first),
                        boxes_.begin() + static_cast<std::ptrdiff_t>(end));
      for (const Skip& skip : skips_) {
        if (skip.from >= first && skip.to < end)
          part.skips.push_back({skip.from - first, skip.to - first, skip.boxes});
      }
      first = end;
      const bool repeats = !part.skips.empty() && !parts.empty() && parts.back().boxes == part.boxes &&
                           parts.back().skips == part.skips;
      if (repeats) {
        parts.back().times += 1;
        parts.back().boxes = std::move(part.boxes);  // the last one's shapes
      } else {
        parts.push_back(std::move(part));
      }
    }
    return parts;
  }

 private:
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);
  static std::size_t at(graph::ValueId id) { return static_cast<std::size_t>(id); }

  const graph::Node* producer(graph::ValueId id) const {
    const std::int32_t node = graph_.value(id).producer;
    return node < 0 ? nullptr : &graph_.nodes()[static_cast<std::size_t>(node)];
  }

  // The operand on the longest way to the input; of two equal ones the first.
  graph::ValueId trunk_input(const graph::Node& node) const {
    if (!joins(node)) return node.inputs[0];
    return depth_[at(node.inputs[0])] >= depth_[at(node.inputs[1])] ? node.inputs[0] : node.inputs[1];
  }

  void follow_trunk() {
    for (auto node = producer(graph_.outputs()[0].second); node != nullptr;
         node = producer(trunk_input(*node)))
      trunk_.push_back(node);
    std::reverse(trunk_.begin(), trunk_.end());
    place_.assign(graph_.values().size(), kNowhere);
    for (const graph::Node* node : trunk_) {
      if (ops::as<ops::Flatten>(*node) == nullptr)
        boxes_.push_back(box_of(graph_, *node));  // moves nothing one sees
      for (const auto id : node->outputs) {
        if (id != graph::kNone) place_[at(id)] = boxes_.size();
      }
    }
  }

  void find_skips() {
    for (const graph::Node* node : trunk_) {
      if (!joins(*node)) continue;
      graph::ValueId value = trunk_input(*node) == node->inputs[0] ? node->inputs[1] : node->inputs[0];
      Skip skip{0, place_[at(node->outputs[0])] - 1, {}};
      const graph::Node* source = producer(value);
      while (source != nullptr && place_[at(value)] == kNowhere) {
        if (ops::as<ops::Flatten>(*source) == nullptr) skip.boxes.push_back(box_of(graph_, *source));
        value = trunk_input(*source);
        source = producer(value);
      }
      std::reverse(skip.boxes.begin(), skip.boxes.end());
      if (source != nullptr) skip.from = place_[at(value)];
      skips_.push_back(std::move(skip));
    }
  }

  // One past the last box of the part that begins at `first`: overlapping skips belong together, and
  // so does the ReLU behind their sum.
  std::size_t end_of_part(std::size_t first) const {
    std::size_t end = first + 1;
    bool block = false, grown = true;
    while (grown) {
      grown = false;
      for (const Skip& skip : skips_) {
        if (skip.from < first || skip.from >= end || (block && skip.to < end)) continue;
        end = skip.to + 1;
        block = grown = true;
      }
    }
    const bool relu_follows = block && end < boxes_.size() && boxes_[end].kind == "relu";
    const bool next_begins =
        std::any_of(skips_.begin(), skips_.end(), [&](const Skip& skip) { return skip.from == end; });
    return relu_follows && !next_begins ? end + 1 : end;
  }

  const graph::Graph& graph_;
  std::vector<int> depth_;                 // of values: nodes on the longest way from the input
  std::vector<const graph::Node*> trunk_;  // from the input to the output
  std::vector<Box> boxes_;                 // of the trunk
  std::vector<std::size_t> place_;         // of values on the trunk: boxes up to there
  std::vector<Skip> skips_;
};

}  // namespace

std::string extents(const Shape& shape) {
  return joined(std::span(shape.begin() + std::min(shape.rank(), 1), shape.end()), "×");
}

std::vector<Part> parts_of(const graph::Graph& graph) {
  return Reader(graph).parts();
}

}  // namespace resnet::nn

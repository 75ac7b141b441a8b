#include <algorithm>
#include <optional>

#include "compiler/compile.h"
#include "compiler/draft.h"

namespace resnet::compiler {
namespace {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::ValueId;
using ops::FusionRole;

// Merges operations into neighbours. A merged node stands at one of the two places.
class Merger : public Draft {
 public:
  using Draft::Draft;

  // With y = max_pool(z) and z >= 0, the gradient that a pool spreads lies where z is y. So the mask of
  // the ReLU that made z can be y > 0 before it is spread, and z need not be kept for it.
  void mask_before_spreading() {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (role_of(j) != FusionRole::relu_gradient) continue;
      Node& mask = *nodes_[j];
      const auto k = producer(mask.inputs[0]);
      if (!k || role_of(*k) != FusionRole::max_pool_gradient) continue;
      if (consumers(mask.inputs[0]).size() != 1 || leaves(mask.inputs[0])) continue;
      Node& spread = *nodes_[*k];
      const auto pool = producer(spread.inputs[1]);
      if (!pool || role_of(*pool) != FusionRole::max_pool || nodes_[*pool]->inputs[0] != mask.inputs[1])
        continue;
      const ValueId between = spread.outputs[0], end = mask.outputs[0];
      mask.inputs = {spread.inputs[0], nodes_[*pool]->outputs[0]};
      mask.outputs = {between};
      spread.inputs[0] = between;
      spread.outputs = {end};
      std::swap(mask, spread);
    }
  }

  void merge_epilogues() {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      const FusionRole role = role_of(j);
      if (role != FusionRole::add && role != FusionRole::relu && role != FusionRole::max_pool) continue;
      // Into the later of two producers: the other's result is there when it ends.
      const std::vector<ValueId>& inputs = nodes_[j]->inputs;
      const bool swapped = inputs.size() == 2 && producer(inputs[0]) < producer(inputs[1]);
      for (std::size_t operand = 0; operand < inputs.size(); ++operand) {
        if (merge_into_producer(j, swapped ? 1 - operand : operand, role)) break;
      }
    }
  }

  // `role`: relu_gradient or max_pool_gradient.
  void merge_prologues(FusionRole role) {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (role_of(j) != role) continue;
      for (const std::size_t consumer : consumers(nodes_[j]->outputs[0])) {
        if (merge_into_consumer(j, consumer, role)) break;
      }
    }
  }

  // Bits instead of values, where only those matter and their producer gives them.
  void read_signs() {
    for (std::optional<Node>& node : nodes_) {
      if (!node) continue;
      const auto input = ops::operation(*node).sign_input(node->attributes);
      const auto k = input ? producer(node->inputs[*input]) : std::nullopt;
      if (!k || nodes_[*k]->outputs[0] != node->inputs[*input]) continue;
      Node& maker = *nodes_[*k];
      if (!maker.attributes.has("signs")) {
        if (!ops::operation(maker).gives_signs(maker.attributes)) continue;
        maker.attributes.set("signs", std::int64_t{1});
        maker.outputs.push_back(new_value());
      }
      node->attributes.set("signs", std::int64_t{1});
      node->inputs[*input] = maker.outputs.back();
    }
  }

 private:
  // `map`: what the pool reads, or its gradient.
  bool carries_pool(const Node& carrier, const Node& pool, ValueId map) const {
    return ops::operation(carrier).carries_pool(carrier.attributes, pool.attributes,
                                                graph_.value(map).type.shape);
  }

  static void take_over_attributes(Node& merged, const Node& pool) {
    for (const auto& [name, value] : pool.attributes.entries()) merged.attributes.set("pool_" + name, value);
  }

  // Node j (an addition, a ReLU or a pool) becomes the end of the node that makes its operand. The merged
  // node stands at j, where all its operands exist.
  bool merge_into_producer(std::size_t j, std::size_t operand, FusionRole role) {
    const Node& node = *nodes_[j];
    const ValueId value = node.inputs[operand];
    const auto k = producer(value);
    if (!k || nodes_[*k]->outputs[0] != value) return false;
    if (consumers(value).size() != 1 || leaves(value)) return false;
    const Node& carrier = *nodes_[*k];
    if (!(role == FusionRole::max_pool ? carries_pool(carrier, node, value)
                                       : ops::operation(carrier).carries(carrier.attributes, role)))
      return false;
    for (std::size_t i = 1; i < carrier.outputs.size(); ++i) {
      const auto readers = consumers(carrier.outputs[i]);
      if (!readers.empty() && readers.front() <= j) return false;
    }
    Node merged = carrier;
    merged.outputs[0] = node.outputs[0];
    if (role == FusionRole::max_pool) {
      take_over_attributes(merged, node);
      merged.outputs.push_back(node.outputs[1]);
    } else {
      merged.attributes.set(role == FusionRole::add ? "add" : "relu", std::int64_t{1});
      if (role == FusionRole::add) merged.inputs.push_back(node.inputs[1 - operand]);
    }
    nodes_[j] = std::move(merged);
    nodes_[*k].reset();
    return true;
  }

  // Node j (the gradient of a ReLU or of a pool) becomes the start of node `c`, which stands at j from
  // then on: all its other operands must exist there.
  bool merge_into_consumer(std::size_t j, std::size_t c, FusionRole role) {
    const Node& node = *nodes_[j];
    const Node& carrier = *nodes_[c];
    const ValueId value = node.outputs[0];
    const bool shared = consumers(value).size() > 1;
    if (carrier.inputs[0] != value || leaves(value)) return false;
    if (role == FusionRole::max_pool_gradient) {
      if (shared || !carries_pool(carrier, node, value)) return false;
    } else if (!ops::operation(carrier).carries(carrier.attributes,
                                                shared ? FusionRole::shared_relu_gradient : role)) {
      return false;
    }
    for (std::size_t i = 1; i < carrier.inputs.size(); ++i) {
      const auto k = carrier.inputs[i] == kNone ? std::nullopt : producer(carrier.inputs[i]);
      if (k && *k >= j) return false;
    }
    Node merged = carrier;
    merged.inputs[0] = node.inputs[0];
    merged.inputs.push_back(node.inputs[1]);
    if (role == FusionRole::max_pool_gradient) {
      take_over_attributes(merged, node);
    } else {
      merged.attributes.set("relu", std::int64_t{1});
    }
    if (shared) {
      merged.attributes.set("add", std::int64_t{1});
      merged.outputs.push_back(value);
    }
    nodes_[c].reset();
    nodes_[j] = std::move(merged);
    return true;
  }
};

}  // namespace

Graph fuse(const Graph& graph) {
  Merger draft(graph);
  draft.mask_before_spreading();
  draft.merge_epilogues();
  draft.merge_prologues(FusionRole::max_pool_gradient);
  draft.merge_prologues(FusionRole::relu_gradient);
  draft.read_signs();
  return draft.rebuild();
}

}  // namespace resnet::compiler

#include <algorithm>
#include <optional>

#include "compiler/compile.h"
#include "ops/operation.h"

namespace resnet::compiler {
namespace {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::Role;
using graph::ValueId;
using ops::FusionRole;

// The nodes while they are being merged, in the numbering of the original graph. A merged node
// stands at one of the two places and the other is empty.
class Draft {
 public:
  explicit Draft(const Graph& graph)
      : graph_(graph),
        nodes_(graph.nodes().begin(), graph.nodes().end()),
        values_(static_cast<ValueId>(graph.values().size())) {}

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
      for (std::size_t operand = 0; operand < nodes_[j]->inputs.size(); ++operand) {
        if (merge_into_producer(j, operand, role)) break;
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
        maker.outputs.push_back(values_++);
      }
      node->attributes.set("signs", std::int64_t{1});
      node->inputs[*input] = maker.outputs.back();
    }
  }

  Graph rebuild() const {
    Graph result;
    std::vector<ValueId> renumbered(static_cast<std::size_t>(values_), kNone);
    const auto renumber = [&](ValueId id) {
      return id == kNone ? kNone : renumbered[static_cast<std::size_t>(id)];
    };
    for (std::size_t i = 0; i < graph_.values().size(); ++i) {
      const graph::ValueInfo& value = graph_.values()[i];
      if (value.role != Role::computed) renumbered[i] = result.add_state(value.role, value.name, value.type);
    }
    for (const std::optional<Node>& node : nodes_) {
      if (!node) continue;
      std::vector<ValueId> inputs;
      for (const ValueId id : node->inputs) inputs.push_back(renumber(id));
      const auto outputs = result.add_node(*node->op, node->name, node->attributes, std::move(inputs));
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        renumbered[static_cast<std::size_t>(node->outputs[i])] = outputs[i];
      }
    }
    for (const auto& [name, id] : graph_.outputs()) result.add_output(name, renumber(id));
    for (const graph::Update& update : graph_.updates()) {
      result.add_update(renumber(update.state), renumber(update.value));
    }
    return result;
  }

 private:
  FusionRole role_of(std::size_t j) const {
    return nodes_[j] ? ops::operation(*nodes_[j]).role() : FusionRole::none;
  }

  std::vector<std::size_t> consumers(ValueId id) const {
    std::vector<std::size_t> result;
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (nodes_[j])
        result.insert(
            result.end(),
            static_cast<std::size_t>(std::count(nodes_[j]->inputs.begin(), nodes_[j]->inputs.end(), id)), j);
    }
    return result;
  }

  bool leaves(ValueId id) const {
    const auto is = [id](const auto& pair) { return pair.second == id; };
    return std::any_of(graph_.outputs().begin(), graph_.outputs().end(), is) ||
           std::any_of(graph_.updates().begin(), graph_.updates().end(),
                       [id](const graph::Update& update) { return update.value == id; });
  }

  std::optional<std::size_t> producer(ValueId id) const {
    for (std::size_t k = 0; k < nodes_.size(); ++k) {
      if (nodes_[k] && std::count(nodes_[k]->outputs.begin(), nodes_[k]->outputs.end(), id) > 0) return k;
    }
    return std::nullopt;
  }

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

  const Graph& graph_;
  std::vector<std::optional<Node>> nodes_;
  ValueId values_;  // the graph's, and those that were added
};

}  // namespace

Graph fuse(const Graph& graph) {
  Draft draft(graph);
  draft.mask_before_spreading();
  draft.merge_epilogues();
  draft.merge_prologues(FusionRole::max_pool_gradient);
  draft.merge_prologues(FusionRole::relu_gradient);
  draft.read_signs();
  return draft.rebuild();
}

}  // namespace resnet::compiler

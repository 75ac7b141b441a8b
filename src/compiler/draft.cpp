#include "compiler/draft.h"

#include <algorithm>

namespace resnet::compiler {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::Role;
using graph::ValueId;

Draft::Draft(const StoredGraph& stored, const Target& target)
    : graph_(stored.graph),
      target_(target),
      nodes_(stored.graph.nodes().begin(), stored.graph.nodes().end()),
      types_(stored.types) {}

StoredGraph Draft::rebuild() const {
  StoredGraph result;
  Graph& graph = result.graph;
  std::vector<ValueId> renumbered(types_.size(), kNone);
  const auto renumber = [&](ValueId id) {
    return id == kNone ? kNone : renumbered[static_cast<std::size_t>(id)];
  };
  for (std::size_t i = 0; i < graph_.values().size(); ++i) {
    const graph::ValueInfo& value = graph_.values()[i];
    if (value.role != Role::computed) renumbered[i] = graph.add_state(value.role, value.name, value.type);
  }
  for (const std::optional<Node>& node : nodes_) {
    if (!node) continue;
    std::vector<ValueId> inputs;
    for (const ValueId id : node->inputs) inputs.push_back(renumber(id));
    const auto outputs = graph.add_node(node->op, node->name, std::move(inputs));
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] != kNone) renumbered[static_cast<std::size_t>(node->outputs[i])] = outputs[i];
    }
  }
  for (const auto& [name, id] : graph_.outputs()) graph.add_output(name, renumber(id));
  for (const graph::Update& update : graph_.updates())
    graph.add_update(renumber(update.state), renumber(update.value));
  for (const graph::ValueInfo& value : graph.values()) result.types.push_back(value.type);
  for (std::size_t i = 0; i < types_.size(); ++i) {
    if (renumbered[i] != kNone) result.types[static_cast<std::size_t>(renumbered[i])].dtype = types_[i].dtype;
  }
  return result;
}

std::vector<std::size_t> Draft::consumers(ValueId id) const {
  std::vector<std::size_t> result;
  for (std::size_t j = 0; j < nodes_.size(); ++j) {
    if (!nodes_[j]) continue;
    const auto times = std::count(nodes_[j]->inputs.begin(), nodes_[j]->inputs.end(), id);
    result.insert(result.end(), static_cast<std::size_t>(times), j);
  }
  return result;
}

bool Draft::leaves(ValueId id) const {
  const auto is = [id](const auto& pair) { return pair.second == id; };
  return std::any_of(graph_.outputs().begin(), graph_.outputs().end(), is) ||
         std::any_of(graph_.updates().begin(), graph_.updates().end(),
                     [id](const graph::Update& update) { return update.value == id; });
}

std::optional<std::size_t> Draft::producer(ValueId id) const {
  for (std::size_t k = 0; k < nodes_.size(); ++k) {
    if (nodes_[k] && std::count(nodes_[k]->outputs.begin(), nodes_[k]->outputs.end(), id) > 0) return k;
  }
  return std::nullopt;
}

std::optional<std::size_t> Draft::maker(ValueId id) const {
  const auto k = id == kNone ? std::nullopt : producer(id);
  return k && nodes_[*k]->outputs[ops::kMainOutput] == id ? k : std::nullopt;
}

ValueId Draft::new_value(graph::ValueType type) {
  types_.push_back(std::move(type));
  return static_cast<ValueId>(types_.size() - 1);
}

bool Draft::serves(const Node& node, const ops::Operation& op) const {
  const ops::OperandTypes types(node, [&](ValueId id) { return &type(id); });
  return target_.serves(op, types.signature());
}

}  // namespace resnet::compiler

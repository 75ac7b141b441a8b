#include "compiler/draft.h"

#include <algorithm>

namespace resnet::compiler {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::Role;
using graph::ValueId;
using ops::FusionRole;

Draft::Draft(const Graph& graph)
    : graph_(graph),
      nodes_(graph.nodes().begin(), graph.nodes().end()),
      values_(static_cast<ValueId>(graph.values().size())) {}

Graph Draft::rebuild() const {
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

FusionRole Draft::role_of(std::size_t j) const {
  return nodes_[j] ? ops::operation(*nodes_[j]).role() : FusionRole::none;
}

std::vector<std::size_t> Draft::consumers(ValueId id) const {
  std::vector<std::size_t> result;
  for (std::size_t j = 0; j < nodes_.size(); ++j) {
    if (nodes_[j])
      result.insert(
          result.end(),
          static_cast<std::size_t>(std::count(nodes_[j]->inputs.begin(), nodes_[j]->inputs.end(), id)), j);
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

}  // namespace resnet::compiler

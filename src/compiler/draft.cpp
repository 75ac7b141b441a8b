#include "compiler/draft.h"

#include <algorithm>
#include <utility>

namespace resnet::compiler {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::Role;
using graph::ValueId;

Draft::Draft(const StoredGraph& stored, const Target& target)
    : graph_(stored.graph),
      target_(target),
      nodes_(stored.graph.nodes().size()),
      types_(stored.types),
      uses_(stored.types.size()) {
  for (std::size_t j = 0; j < nodes_.size(); ++j) replace(j, graph_.nodes()[j]);
  for (const auto& [name, id] : graph_.outputs()) uses_[at(id)].is_result = true;
  for (const graph::Update& update : graph_.updates()) uses_[at(update.value)].is_result = true;
}

StoredGraph Draft::rebuild() const {
  StoredGraph result;
  Graph& graph = result.graph;
  std::vector<ValueId> renumbered(types_.size(), kNone);
  const auto renumber = [&](ValueId id) { return id == kNone ? kNone : renumbered[at(id)]; };
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

void Draft::replace(std::size_t j, Node node) {
  remove(j);
  for (const ValueId id : node.inputs) add_reader(id, j);
  for (const ValueId id : node.outputs) set_producer(id, j);
  nodes_[j] = std::move(node);
}

void Draft::remove(std::size_t j) {
  if (!nodes_[j]) return;
  for (const ValueId id : nodes_[j]->inputs) remove_reader(id, j);
  for (const ValueId id : nodes_[j]->outputs) remove_producer(id, j);
  nodes_[j].reset();
}

void Draft::set_input(std::size_t j, std::size_t slot, ValueId id) {
  remove_reader(std::exchange(nodes_[j]->inputs.at(slot), id), j);
  add_reader(id, j);
}

void Draft::set_output(std::size_t j, std::size_t slot, ValueId id) {
  remove_producer(std::exchange(nodes_[j]->outputs.at(slot), id), j);
  set_producer(id, j);
}

void Draft::add_reader(ValueId id, std::size_t j) {
  if (id == kNone) return;
  auto& readers = uses_[at(id)].readers;
  readers.insert(std::ranges::upper_bound(readers, j), j);
}

void Draft::remove_reader(ValueId id, std::size_t j) {
  if (id == kNone) return;
  auto& readers = uses_[at(id)].readers;
  readers.erase(std::ranges::lower_bound(readers, j));
}

void Draft::set_producer(ValueId id, std::size_t j) {
  if (id != kNone) uses_[at(id)].producer = j;
}

void Draft::remove_producer(ValueId id, std::size_t j) {
  if (id != kNone && producer(id) == j) uses_[at(id)].producer.reset();
}

std::optional<std::size_t> Draft::main_producer(ValueId id) const {
  const auto k = id == kNone ? std::nullopt : producer(id);
  return k && nodes_[*k]->outputs[ops::kMainOutput] == id ? k : std::nullopt;
}

ValueId Draft::new_value(graph::ValueType type) {
  types_.push_back(std::move(type));
  uses_.emplace_back();
  return static_cast<ValueId>(types_.size() - 1);
}

bool Draft::serves(const Node& node, const ops::Operation& op) const {
  const ops::OperandTypes types(node, [&](ValueId id) { return &type(id); });
  return target_.serves(op, types.signature());
}

}  // namespace resnet::compiler

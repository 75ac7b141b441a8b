// What every value is stored as.
#include <algorithm>
#include <utility>

#include "compiler/passes.h"
#include "compiler/value_index.h"

namespace resnet::compiler {
namespace {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::ValueId;

bool has(const std::vector<std::size_t>& slots, std::size_t slot) {
  return std::count(slots.begin(), slots.end(), slot) != 0;
}

// Gives the operands that the node's kernel does not serve as bf16 the type f32 again, and adds those values
// to `changed`.
void demote_unserved(const Node& node, const Bf16Operands& served, std::vector<graph::ValueType>& types,
                     std::vector<ValueId>& changed) {
  const auto of = [&](ValueId id) -> DType& { return types[at(id)].dtype; };
  const auto is = [&](ValueId id, DType dtype) { return id != kNone && of(id) == dtype; };
  const bool together =
      std::ranges::none_of(
          served.inputs,
          [&](std::size_t i) { return is(node.inputs[i], DType::f32) && !has(served.or_f32, i); }) &&
      std::ranges::none_of(served.outputs, [&](std::size_t i) { return is(node.outputs[i], DType::f32); });
  const auto demote = [&](const std::vector<ValueId>& ids, const std::vector<std::size_t>& slots) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (!is(ids[i], DType::bf16) || (together && has(slots, i))) continue;
      of(ids[i]) = DType::f32;
      changed.push_back(ids[i]);
    }
  };
  demote(node.inputs, served.inputs);
  demote(node.outputs, served.outputs);
}

}  // namespace

StoredGraph store(Graph graph, const Target& target, DType activations) {
  StoredGraph result{std::move(graph), {}};
  std::vector<graph::ValueType>& types = result.types;
  for (const graph::ValueInfo& value : result.graph.values()) {
    types.push_back(value.type);
    if (value.role == graph::Role::computed && value.type.dtype == DType::f32 && value.type.shape.rank() == 4)
      types.back().dtype = activations;
  }
  if (activations == DType::f32) return result;
  const auto keep = [&](ValueId id) { types[at(id)].dtype = result.graph.value(id).type.dtype; };
  for (const auto& [name, id] : result.graph.outputs()) keep(id);
  for (const graph::Update& update : result.graph.updates()) keep(update.value);
  const std::vector<Node>& nodes = result.graph.nodes();
  std::vector<Bf16Operands> served;
  std::vector<std::vector<std::size_t>> neighbours(types.size());  // the nodes that read or write a value
  std::vector<ValueId> changed;
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    served.push_back(target.bf16_operands(ops::operation(nodes[k])));
    for (const auto& ids : {nodes[k].inputs, nodes[k].outputs}) {
      for (const ValueId id : ids) {
        if (id != kNone) neighbours[at(id)].push_back(k);
      }
    }
    demote_unserved(nodes[k], served[k], types, changed);
  }
  // What becomes f32 makes operands of its neighbours f32, and so on.
  while (!changed.empty()) {
    const auto id = at(changed.back());
    changed.pop_back();
    for (const std::size_t k : neighbours[id]) demote_unserved(nodes[k], served[k], types, changed);
  }
  return result;
}

}  // namespace resnet::compiler

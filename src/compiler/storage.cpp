// What every value is stored as.
#include <algorithm>

#include "compiler/compile.h"
#include "ops/operation.h"

namespace resnet::compiler {
namespace {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::ValueId;

ValueId operand(const Node& node, std::size_t i) {
  return i < node.inputs.size() ? node.inputs[i] : node.outputs.at(i - node.inputs.size());
}

}  // namespace

std::vector<graph::ValueType> storage_types(const Graph& graph, DType activations) {
  std::vector<graph::ValueType> types;
  for (const graph::ValueInfo& value : graph.values()) {
    types.push_back(value.type);
    if (value.role == graph::Role::computed && value.type.dtype == DType::f32 && value.type.shape.rank() == 4)
      types.back().dtype = activations;
  }
  if (activations == DType::f32) return types;
  const auto of = [&](ValueId id) -> DType& { return types[static_cast<std::size_t>(id)].dtype; };
  for (const auto& [name, id] : graph.outputs()) of(id) = graph.value(id).type.dtype;
  for (const graph::Update& update : graph.updates()) of(update.value) = graph.value(update.value).type.dtype;
  // A kernel that does not serve bf16 makes its operands f32, and they those of their neighbours.
  for (bool changed = true; changed;) {
    changed = false;
    for (const Node& node : graph.nodes()) {
      const std::vector<std::size_t> served = ops::operation(node).bf16_operands(node);
      const auto stays = [&](std::size_t i) {
        const ValueId id = operand(node, i);
        return id != kNone && of(id) == DType::f32 && !ops::operation(node).may_stay_f32(i);
      };
      const bool together = std::none_of(served.begin(), served.end(), stays);
      for (std::size_t i = 0; i < node.inputs.size() + node.outputs.size(); ++i) {
        const ValueId id = operand(node, i);
        if (id == kNone || of(id) != DType::bf16) continue;
        if (together && std::count(served.begin(), served.end(), i) != 0) continue;
        of(id) = DType::f32;
        changed = true;
      }
    }
  }
  return types;
}

}  // namespace resnet::compiler

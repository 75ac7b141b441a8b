#include "resnet/graph.h"

namespace resnet::graph {
namespace {

// Gives the value called `name` if it is there with this role and type, or kNone if there is none.
ValueId existing(const std::map<std::string, ValueId>& named, const std::vector<ValueInfo>& values, Role role,
                 const std::string& name, const ValueType& type) {
  const auto found = named.find(name);
  if (found == named.end()) return kNone;
  const ValueInfo& value = values[static_cast<std::size_t>(found->second)];
  if (value.role != role || !(value.type == type)) {
    const bool shapes = !(value.type.shape == type.shape);
    const auto described = [&](Role as, const ValueType& of) {
      return (shapes ? "" : std::string(name_of(as)) + " " + std::string(resnet::name_of(of.dtype)) + " ") +
             to_string(of.shape);
    };
    throw ShapeError("'" + name + "' is used both as " + described(value.role, value.type) + " and as " +
                     described(role, type));
  }
  return found->second;
}

}  // namespace

std::string_view name_of(Role role) noexcept {
  constexpr std::string_view kNames[] = {"input", "parameter", "buffer", "computed"};
  return kNames[static_cast<std::size_t>(role)];
}

ValueId Graph::add_input(const std::string& name, const ValueType& type) {
  return add_state(Role::input, name, type);
}

ValueId Graph::add_state(Role role, const std::string& name, const ValueType& type) {
  if (const ValueId old = existing(named_, values_, role, name, type); old != kNone) return old;
  const auto id = static_cast<ValueId>(values_.size());
  values_.push_back({name, type, role, -1});
  named_.emplace(name, id);
  return id;
}

namespace {

std::string named_shapes(const OpRules& op, std::span<const ValueType* const> types) {
  const auto names = op.input_names();
  std::string shapes;
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (types[i] == nullptr) continue;
    shapes += (shapes.empty() ? "" : ", ") + std::string(names[i]) + " = " + to_string(types[i]->shape);
  }
  return shapes;
}

}  // namespace

std::vector<ValueId> Graph::add_node(Op op, const std::string& name, std::vector<ValueId> inputs) {
  const std::string where = std::string(op->name()) + " '" + name + "': ";
  const std::size_t slots = op->input_names().size(), listed = op->listed_inputs();
  if (inputs.size() < listed || inputs.size() > slots) {
    throw ShapeError(where + "expected " + std::to_string(listed) + " operands, got " +
                     std::to_string(inputs.size()));
  }
  inputs.resize(slots, kNone);
  std::vector<const ValueType*> types;
  types.reserve(slots);
  for (const ValueId id : inputs) types.push_back(id == kNone ? nullptr : &value(id).type);
  std::vector<std::optional<ValueType>> results;
  try {
    results = op->infer(types);
  } catch (const ShapeError& error) {
    throw ShapeError(where + error.what() + " (" + named_shapes(*op, types) + ")", error.hint());
  }
  const auto producer = static_cast<std::int32_t>(nodes_.size());
  std::vector<ValueId> outputs;
  for (std::optional<ValueType>& type : results) {
    outputs.push_back(type ? static_cast<ValueId>(values_.size()) : kNone);
    if (type) values_.push_back({name, *std::move(type), Role::computed, producer});
  }
  nodes_.push_back({std::move(op), name, std::move(inputs), outputs});
  return outputs;
}

void Graph::add_output(const std::string& name, ValueId id) {
  static_cast<void>(value(id));
  if (!named_outputs_.emplace(name, id).second) throw FormatError("two outputs are called '" + name + "'");
  outputs_.emplace_back(name, id);
}

void Graph::add_update(ValueId state, ValueId id) {
  if (!(value(state).type == value(id).type)) {
    throw ShapeError("update of '" + value(state).name + "': expected " + to_string(value(state).type.shape) +
                     ", got " + to_string(value(id).type.shape));
  }
  updates_.push_back({state, id});
}

void Graph::refuse(ValueId id) const {
  throw FormatError("the graph has no value " + std::to_string(static_cast<std::int64_t>(id)));
}

ValueId Graph::input(std::string_view name) const {
  const auto found = named_.find(std::string(name));
  if (found == named_.end() || value(found->second).role != Role::input) {
    throw FormatError("the graph has no input '" + std::string(name) + "'");
  }
  return found->second;
}

ValueId Graph::output(std::string_view name) const {
  if (const auto found = named_outputs_.find(std::string(name)); found != named_outputs_.end())
    return found->second;
  throw FormatError("the graph has no output '" + std::string(name) + "'");
}

std::vector<ValueId> Graph::with_role(Role role) const {
  std::vector<ValueId> ids;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if (values_[i].role == role) ids.push_back(static_cast<ValueId>(i));
  }
  return ids;
}

Graph Graph::reshaped(const std::map<std::string, Shape>& inputs) const {
  Graph result;
  std::vector<ValueId> renumbered(values_.size(), kNone);
  const auto renumber = [&](ValueId id) {
    return id == kNone ? kNone : renumbered[static_cast<std::size_t>(id)];
  };
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const ValueInfo& value = values_[i];
    if (value.role == Role::computed) continue;
    ValueType type = value.type;
    if (value.role == Role::input) {
      if (const auto shape = inputs.find(value.name); shape != inputs.end()) type.shape = shape->second;
    }
    renumbered[i] = result.add_state(value.role, value.name, type);
  }
  for (const Node& node : nodes_) {
    std::vector<ValueId> node_inputs;
    for (const ValueId id : node.inputs) node_inputs.push_back(renumber(id));
    const auto outputs = result.add_node(node.op, node.name, std::move(node_inputs));
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (node.outputs[i] != kNone) renumbered[static_cast<std::size_t>(node.outputs[i])] = outputs[i];
    }
  }
  for (const auto& [name, id] : outputs_) result.add_output(name, renumber(id));
  for (const Update& update : updates_) result.add_update(renumber(update.state), renumber(update.value));
  return result;
}

Graph Graph::without_updates() const {
  Graph result = *this;
  result.updates_.clear();
  return result;
}

std::span<const ValueId> listed_inputs(const Node& node) {
  std::size_t count = node.inputs.size();
  while (count > node.op->listed_inputs() && node.inputs[count - 1] == kNone) --count;
  return std::span(node.inputs).first(count);
}

std::string to_string(const Graph& graph) {
  const auto label = [&](ValueId id) {
    if (id == kNone) return std::string("-");
    const ValueInfo& value = graph.value(id);
    return value.role == Role::computed ? "%" + std::to_string(id) : "'" + value.name + "'";
  };
  std::string text;
  for (const Node& node : graph.nodes()) {
    std::string results, operands;
    for (const ValueId id : node.outputs) {
      if (id == kNone) continue;
      results +=
          (results.empty() ? "%" : ", %") + std::to_string(id) + " " + to_string(graph.value(id).type.shape);
    }
    for (const ValueId id : listed_inputs(node)) operands += (operands.empty() ? "" : ", ") + label(id);
    text += results + " = " + std::string(node.op->name()) + "(" + operands + ")  " + node.name + "\n";
  }
  for (const auto& [name, id] : graph.outputs()) text += "output " + name + " = " + label(id) + "\n";
  for (const Update& update : graph.updates()) {
    text += "update " + label(update.state) + " = " + label(update.value) + "\n";
  }
  return text;
}

}  // namespace resnet::graph

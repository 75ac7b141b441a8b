#include "resnet/graph.h"

namespace resnet::graph {
namespace {

template <class T>
const T& entry_as(const std::map<std::string, Attributes::Entry>& entries, const std::string& name,
                  const char* kind) {
  const auto found = entries.find(name);
  if (found == entries.end()) throw FormatError("attribute '" + name + "' is missing");
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) throw FormatError("attribute '" + name + "' is not " + kind);
  return *value;
}

}  // namespace

std::int64_t Attributes::integer(const std::string& name) const {
  return entry_as<std::int64_t>(entries_, name, "a whole number");
}

std::int64_t Attributes::integer_or(const std::string& name, std::int64_t otherwise) const {
  return has(name) ? integer(name) : otherwise;
}

double Attributes::real(const std::string& name) const {
  return entry_as<double>(entries_, name, "a number");
}

const std::vector<std::int64_t>& Attributes::integers(const std::string& name) const {
  return entry_as<std::vector<std::int64_t>>(entries_, name, "a list of whole numbers");
}

namespace {

// Gives the value called `name` if it is there with this role and type, or kNone if there is none.
ValueId existing(const std::unordered_map<std::string, ValueId>& named, const std::vector<ValueInfo>& values,
                 Role role, const std::string& name, const ValueType& type) {
  const auto found = named.find(name);
  if (found == named.end()) return kNone;
  const ValueInfo& value = values[static_cast<std::size_t>(found->second)];
  if (value.role != role || !(value.type == type)) {
    throw ShapeError("'" + name + "' is used both as " + to_string(value.type.shape) + " and as " +
                     to_string(type.shape));
  }
  return found->second;
}

}  // namespace

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

std::vector<ValueId> Graph::add_node(const OpRules& op, const std::string& name, Attributes attributes,
                                     std::vector<ValueId> inputs) {
  std::vector<const ValueType*> types;
  types.reserve(inputs.size());
  for (const ValueId id : inputs) types.push_back(id == kNone ? nullptr : &value(id).type);
  std::vector<ValueType> results;
  try {
    results = op.infer(attributes, types);
  } catch (const ShapeError& error) {
    const std::vector<std::string_view> names = op.input_names();
    std::string shapes;
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (types[i] == nullptr) continue;
      const std::string input = i < names.size() ? std::string(names[i]) : "input " + std::to_string(i);
      shapes += (shapes.empty() ? "" : ", ") + input + " = " + to_string(types[i]->shape);
    }
    throw ShapeError(std::string(op.name()) + " '" + name + "': " + error.what() + " (" + shapes + ")",
                     error.hint());
  }
  const auto producer = static_cast<std::int32_t>(nodes_.size());
  std::vector<ValueId> outputs;
  for (ValueType& type : results) {
    outputs.push_back(static_cast<ValueId>(values_.size()));
    values_.push_back({name, std::move(type), Role::computed, producer});
  }
  nodes_.push_back({&op, name, std::move(attributes), std::move(inputs), outputs});
  return outputs;
}

void Graph::add_output(const std::string& name, ValueId id) {
  static_cast<void>(value(id));
  outputs_.emplace_back(name, id);
}

void Graph::add_update(ValueId state, ValueId id) {
  if (!(value(state).type == value(id).type)) {
    throw ShapeError("update of '" + value(state).name + "': expected " + to_string(value(state).type.shape) +
                     ", got " + to_string(value(id).type.shape));
  }
  updates_.push_back({state, id});
}

ValueId Graph::input(std::string_view name) const {
  const auto found = named_.find(std::string(name));
  if (found == named_.end() || value(found->second).role != Role::input) {
    throw FormatError("the graph has no input '" + std::string(name) + "'");
  }
  return found->second;
}

ValueId Graph::output(std::string_view name) const {
  for (const auto& [key, id] : outputs_) {
    if (key == name) return id;
  }
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
    const auto outputs = result.add_node(*node.op, node.name, node.attributes, std::move(node_inputs));
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      renumbered[static_cast<std::size_t>(node.outputs[i])] = outputs[i];
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

std::string to_string(const Graph& graph) {
  const auto label = [&](ValueId id) {
    if (id == kNone) return std::string("-");
    const ValueInfo& value = graph.value(id);
    return value.role == Role::computed ? "%" + std::to_string(id) : "'" + value.name + "'";
  };
  std::string text;
  for (const Node& node : graph.nodes()) {
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId id = node.outputs[i];
      text += (i > 0 ? ", %" : "%") + std::to_string(id) + " " + to_string(graph.value(id).type.shape);
    }
    text += " = " + std::string(node.op->name()) + "(";
    for (std::size_t i = 0; i < node.inputs.size(); ++i) text += (i > 0 ? ", " : "") + label(node.inputs[i]);
    text += ")  " + node.name + "\n";
  }
  for (const auto& [name, id] : graph.outputs()) text += "output " + name + " = " + label(id) + "\n";
  for (const Update& update : graph.updates()) {
    text += "update " + label(update.state) + " = " + label(update.value) + "\n";
  }
  return text;
}

}  // namespace resnet::graph

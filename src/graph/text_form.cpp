// The JSON text form of a graph. Reading rebuilds the graph by adding, so whatever is read has been
// verified like a graph that a module built.
#include <array>

#include "base/json.h"
#include "graph/attributes.h"
#include "graph/limits.h"
#include "resnet/graph.h"

namespace resnet::graph {
namespace {

constexpr std::array<DType, 5> kDTypes = {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8};

[[noreturn]] void malformed(const std::string& what) {
  throw FormatError("graph: " + what, "the file was not written by this program, or is damaged");
}

const Json& member(const Json& object, const char* key) {
  const Json* found = object.find(key);
  if (found == nullptr) malformed(std::string("'") + key + "' is missing");
  return *found;
}

const std::vector<Json>& list(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (!value.is_list()) malformed(std::string("'") + key + "' is not a list");
  return value.elements();
}

// The same, of no more entries than networks have.
const std::vector<Json>& list(const Json& object, const char* key, std::int64_t most) {
  const std::vector<Json>& entries = list(object, key);
  if (static_cast<std::int64_t>(entries.size()) > most) {
    throw FormatError("graph: " + std::to_string(entries.size()) + " " + key + "; at most " +
                          std::to_string(most) + " are supported",
                      "divide it into several networks");
  }
  return entries;
}

std::string text(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (!value.is_text()) malformed(std::string("'") + key + "' is not a text");
  return value.text();
}

std::int64_t whole(const Json& value) {
  if (!value.is_whole()) malformed("a whole number was expected, got " + value.dump());
  return value.whole();
}

std::vector<std::int64_t> wholes(const Json& value) {
  if (!value.is_list()) malformed("a list of whole numbers was expected");
  std::vector<std::int64_t> numbers;
  for (const Json& entry : value.elements()) numbers.push_back(whole(entry));
  return numbers;
}

DType dtype_named(const std::string& name) {
  for (const DType dtype : kDTypes) {
    if (name_of(dtype) == name) return dtype;
  }
  malformed("unknown dtype '" + name + "'");
}

Role role_named(const std::string& name) {
  for (const Role role : {Role::input, Role::parameter, Role::buffer}) {
    if (name_of(role) == name) return role;
  }
  malformed("unknown role '" + name + "'");
}

Json attribute_json(const Attributes::Entry& entry) {
  return std::visit([](const auto& value) { return Json(value); }, entry);
}

Attributes::Entry attribute_entry(const Json& value) {
  if (value.is_float()) return value.number();
  if (value.is_list()) return wholes(value);
  return whole(value);
}

}  // namespace

std::string to_json(const Graph& graph) {
  // Values are renumbered so that inputs and state come first, then the outputs of the nodes in order.
  std::vector<ValueId> order(graph.values().size(), kNone);
  ValueId next = 0;
  Json values = Json::list();
  for (std::size_t i = 0; i < graph.values().size(); ++i) {
    const ValueInfo& value = graph.values()[i];
    if (value.role == Role::computed) continue;
    order[i] = next++;
    values.push_back(Json::object({{"dtype", name_of(value.type.dtype)},
                                   {"name", value.name},
                                   {"role", name_of(value.role)},
                                   {"shape", Json::list(value.type.shape)}}));
  }
  const auto number = [&](ValueId id) { return id == kNone ? kNone : order[static_cast<std::size_t>(id)]; };
  Json nodes = Json::list();
  for (const Node& node : graph.nodes()) {
    Json attributes = Json::object();
    const Attributes options = node.op->attributes();
    for (const auto& [name, entry] : options.entries()) attributes.add(name, attribute_json(entry));
    Json inputs = Json::list();
    for (const ValueId id : listed_inputs(node)) inputs.push_back(number(id));
    for (const ValueId id : node.outputs) {
      if (id != kNone) order[static_cast<std::size_t>(id)] = next++;
    }
    nodes.push_back(Json::object(
        {{"attributes", attributes}, {"inputs", inputs}, {"name", node.name}, {"op", node.op->name()}}));
  }
  Json outputs = Json::list();
  for (const auto& [name, id] : graph.outputs())
    outputs.push_back(Json::object({{"name", name}, {"value", number(id)}}));
  return Json::object({{"nodes", nodes}, {"outputs", outputs}, {"values", values}, {"version", 1}}).dump();
}

Graph from_json(const std::string& document, ReadOp read) {
  const Json root = parse_json(document);
  const std::int64_t version = whole(member(root, "version"));
  if (version > 1) {
    throw FormatError("graph: version " + std::to_string(version) + ", this program reads 1",
                      "it was written by a newer version of this program");
  }
  if (version != 1) malformed("version 1 was expected");
  Graph graph;
  std::vector<ValueId> ids;
  const auto resolve = [&](const Json& value, bool optional) {
    const std::int64_t number = whole(value);
    if (optional && number == kNone) return kNone;
    if (number < 0 || number >= static_cast<std::int64_t>(ids.size())) {
      malformed("value " + std::to_string(number) + " is used before it exists");
    }
    return ids[static_cast<std::size_t>(number)];
  };
  for (const Json& value : list(root, "values", kMostValues)) {
    const std::vector<std::int64_t> extents = wholes(member(value, "shape"));
    const std::size_t before = graph.values().size();
    ids.push_back(graph.add_state(role_named(text(value, "role")), text(value, "name"),
                                  {Shape(extents), dtype_named(text(value, "dtype"))}));
    if (graph.values().size() == before) malformed("two values are called '" + text(value, "name") + "'");
  }
  for (const Json& node : list(root, "nodes", kMostNodes)) {
    const Json& settings = member(node, "attributes");
    if (!settings.is_object()) malformed("'attributes' is not an object");
    Attributes attributes;
    for (const auto& [name, value] : settings.members()) attributes.set(name, attribute_entry(value));
    const std::string name = text(node, "op");
    Op op = read(name, attributes);
    if (op == nullptr) {
      throw FormatError("graph: unknown operation '" + name + "'",
                        "it was written by a newer version of this program");
    }
    std::vector<ValueId> inputs;
    for (const Json& value : list(node, "inputs")) inputs.push_back(resolve(value, true));
    for (const ValueId id : graph.add_node(std::move(op), text(node, "name"), std::move(inputs))) {
      if (id != kNone) ids.push_back(id);
    }
  }
  for (const Json& output : list(root, "outputs", kMostValues)) {
    graph.add_output(text(output, "name"), resolve(member(output, "value"), false));
  }
  return graph;
}

}  // namespace resnet::graph

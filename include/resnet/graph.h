// A network as data: values, and the nodes that compute them. Modules build graphs; the compiler
// differentiates and plans them; model files store them.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "resnet/tensor.h"

namespace resnet {

/// Whether a network is built for training (batch statistics, dropout) or for evaluation.
enum class Mode : std::uint8_t { train, eval };

namespace graph {

/// Number of a value in its graph; kNone where an optional input is absent.
using ValueId = std::int32_t;
inline constexpr ValueId kNone = -1;

struct ValueType {
  Shape shape;  // public layout: images [N,C,H,W], convolution weights [Co,Ci/groups,Kh,Kw]
  DType dtype = DType::f32;
  bool operator==(const ValueType&) const = default;
};

/// Where a value comes from: the caller at each run, the network's state (trained parameters;
/// buffers such as running statistics), or a node.
enum class Role : std::uint8_t { input, parameter, buffer, computed };

/// Settings of a node, by name: numbers and lists of whole numbers.
class Attributes {
 public:
  using Entry = std::variant<std::int64_t, double, std::vector<std::int64_t>>;
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, Entry>> entries) : entries_(entries) {}

  bool has(const std::string& name) const { return entries_.contains(name); }
  std::int64_t integer(const std::string& name) const;  ///< throws FormatError if absent or another type
  std::int64_t integer_or(const std::string& name, std::int64_t otherwise) const;
  double real(const std::string& name) const;
  const std::vector<std::int64_t>& integers(const std::string& name) const;
  void set(const std::string& name, Entry entry) { entries_[name] = std::move(entry); }
  const std::map<std::string, Entry>& entries() const noexcept { return entries_; }
  bool operator==(const Attributes&) const = default;

 private:
  std::map<std::string, Entry> entries_;
};

/// What a graph must know of an operation: its name and its shape rule. Operations derive from it.
class OpRules {
 public:
  virtual ~OpRules() = default;
  virtual std::string_view name() const noexcept = 0;
  /// Types of the outputs. An absent optional input has rank 0 and no elements counted.
  /// Throws ShapeError that begins with what the operation expected.
  virtual std::vector<ValueType> infer(const Attributes& attributes,
                                       std::span<const ValueType* const> inputs) const = 0;
  /// Whether it may stand in a network that only infers; not gradients, losses and updates.
  virtual bool for_inference() const noexcept { return true; }
  /// What messages call the inputs, in their order.
  virtual std::vector<std::string_view> input_names() const { return {"x"}; }
};

struct ValueInfo {
  std::string name;  // of a state value: its PyTorch name; of an input: the caller's
  ValueType type;
  Role role = Role::computed;
  std::int32_t producer = -1;  // node, if computed
};

struct Node {
  const OpRules* op = nullptr;
  std::string name;  // path of the module that made it, for messages and printing
  Attributes attributes;
  std::vector<ValueId> inputs, outputs;
};

/// A state value takes this value at the end of a run.
struct Update {
  ValueId state = kNone, value = kNone;
};

/// Nodes in an order in which they can run. Built only by adding, so every graph is well formed:
/// inputs exist, shapes fit, names of inputs and state are unique.
class Graph {
 public:
  /// Asking again for the same name with the same type gives the same value, as for add_state.
  ValueId add_input(const std::string& name, const ValueType& type);
  /// A parameter or buffer; asking again for the same name with the same type gives the same value.
  ValueId add_state(Role role, const std::string& name, const ValueType& type);
  /// Adds a node and infers its outputs. Throws ShapeError naming the node and all input shapes.
  std::vector<ValueId> add_node(const OpRules& op, const std::string& name, Attributes attributes,
                                std::vector<ValueId> inputs);
  void add_output(const std::string& name, ValueId value);
  void add_update(ValueId state, ValueId value);

  const std::vector<ValueInfo>& values() const noexcept { return values_; }
  const std::vector<Node>& nodes() const noexcept { return nodes_; }
  const std::vector<std::pair<std::string, ValueId>>& outputs() const noexcept { return outputs_; }
  const std::vector<Update>& updates() const noexcept { return updates_; }

  const ValueInfo& value(ValueId id) const { return values_.at(static_cast<std::size_t>(id)); }
  ValueId input(std::string_view name) const;       ///< throws FormatError if there is none
  ValueId output(std::string_view name) const;      ///< throws FormatError if there is none
  std::vector<ValueId> with_role(Role role) const;  ///< in the order of adding

  /// The same network for inputs of other shapes, named as here; everything is inferred anew.
  Graph reshaped(const std::map<std::string, Shape>& inputs) const;
  /// The same network, whose runs leave the state alone.
  Graph without_updates() const;

 private:
  std::vector<ValueInfo> values_;
  std::vector<Node> nodes_;
  std::vector<std::pair<std::string, ValueId>> outputs_;
  std::vector<Update> updates_;
  std::unordered_map<std::string, ValueId> named_;  // inputs and state
};

/// Readable listing, a line a node.
std::string to_string(const Graph& graph);

/// JSON text form, version 1: inputs, state, nodes, outputs.
std::string to_json(const Graph& graph);
/// Reads it back; `find` gives the rules of an operation by name or null. Throws FormatError on
/// anything that is not a well-formed graph, ShapeError on one whose shapes do not fit.
Graph from_json(const std::string& text, const OpRules* (*find)(std::string_view name));

/// Builds one graph: what modules are called with. `names` holds the path of every module of the
/// tree that is being built, by its address.
struct Builder {
  Graph graph;
  Mode mode = Mode::eval;
  std::unordered_map<const void*, std::string> names;
};

}  // namespace graph

/// A value in a graph under construction: what a module takes and returns.
class Value {
 public:
  Value(graph::Builder& builder, graph::ValueId id) : builder_(&builder), id_(id) {}
  const Shape& shape() const { return builder_->graph.value(id_).type.shape; }
  Mode mode() const { return builder_->mode; }
  graph::Builder& builder() const noexcept { return *builder_; }
  graph::ValueId id() const noexcept { return id_; }

 private:
  graph::Builder* builder_;
  graph::ValueId id_;
};

}  // namespace resnet

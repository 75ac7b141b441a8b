// A network as data: values, and the nodes that compute them. Modules build graphs; the compiler
// differentiates and plans them; model files store them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "resnet/tensor.h"

namespace resnet {

/// Whether a network is built for training (batch statistics, dropout) or for evaluation.
enum class Mode : std::uint8_t { train, eval };

namespace graph {

/// Number of a value in its graph; kNone where an optional input is absent.
using ValueId = std::int32_t;
inline constexpr ValueId kNone = -1;  // no value

/// Shape and elements of a value.
struct ValueType {
  Shape shape;  // public layout: images [N,C,H,W], convolution weights [Co,Ci/groups,Kh,Kw]
  DType dtype = DType::f32;
  bool operator==(const ValueType&) const = default;
};

/// Where a value comes from: the caller at each run, the network's state (trained parameters;
/// buffers such as running statistics), or a node.
enum class Role : std::uint8_t { input, parameter, buffer, computed };

/// "input", "parameter", "buffer" or "computed".
std::string_view name_of(Role role) noexcept;

/// Whether it is of the network's state.
constexpr bool is_state(Role role) {
  return role == Role::parameter || role == Role::buffer;
}

class Attributes;  // src/graph/attributes.h: an operation's options as the text form names them

/// What a graph must know of an operation: its name and its shape rule. The operations are the library's
/// own (src/ops); an object of them is one operation with its options, immutable and shared by graphs.
class OpRules {
 public:
  virtual ~OpRules() = default;
  virtual std::string_view name() const noexcept = 0;
  /// What messages call the inputs: a name for each slot, in the order of the operation's enum of inputs.
  virtual std::span<const std::string_view> input_names() const noexcept = 0;
  /// How many slots, from the first, are listed also where they are absent; only the compiler uses the rest.
  virtual std::size_t listed_inputs() const noexcept { return input_names().size(); }
  /// Types of the outputs by slot; an output that the options leave out has none. `inputs` has a pointer for
  /// each slot, null where the input is absent. Throws ShapeError that begins with what was expected.
  virtual std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const = 0;
  /// Whether it may stand in a network that only infers; not gradients, losses and updates.
  virtual bool for_inference() const noexcept { return true; }
  /// Its options as the text form writes them.
  virtual Attributes attributes() const = 0;
};

/// One operation with its options.
using Op = std::shared_ptr<const OpRules>;

/// What a graph knows of a value.
struct ValueInfo {
  std::string name;  // of a state value: its PyTorch name; of an input: the caller's
  ValueType type;
  Role role = Role::computed;
  std::int32_t producer = -1;  // node, if computed
};

/// An operation on values.
struct Node {
  Op op;
  std::string name;                      // path of the module that made it, for messages and printing
  std::vector<ValueId> inputs, outputs;  // by slot; kNone where absent
};

/// The inputs of a node without the absent ones after the slots that are always listed.
std::span<const ValueId> listed_inputs(const Node& node);

/// A state value takes this value at the end of a run.
struct Update {
  ValueId state = kNone, value = kNone;
};

/// Nodes in an order in which they can run. Built only by adding, so every graph is well formed:
/// inputs exist, shapes fit, names are unique, of inputs and state and of outputs.
class Graph {
 public:
  /// Asking again for the same name with the same type gives the same value, as for add_state.
  ValueId add_input(const std::string& name, const ValueType& type);
  /// A parameter or buffer; asking again for the same name with the same type gives the same value.
  ValueId add_state(Role role, const std::string& name, const ValueType& type);
  /// Adds a node and infers its outputs, which it gives by slot. `inputs` has at least the listed slots of
  /// the operation. Throws ShapeError naming the node and all input shapes.
  std::vector<ValueId> add_node(Op op, const std::string& name, std::vector<ValueId> inputs);
  /// Throws FormatError if there is one of that name.
  void add_output(const std::string& name, ValueId value);
  void add_update(ValueId state, ValueId value);

  const std::vector<ValueInfo>& values() const noexcept { return values_; }
  const std::vector<Node>& nodes() const noexcept { return nodes_; }
  const std::vector<std::pair<std::string, ValueId>>& outputs() const noexcept { return outputs_; }
  const std::vector<Update>& updates() const noexcept { return updates_; }

  const ValueInfo& value(ValueId id) const {  ///< throws FormatError if there is none
    if (static_cast<std::size_t>(id) >= values_.size()) refuse(id);
    return values_[static_cast<std::size_t>(id)];
  }
  ValueId input(std::string_view name) const;       ///< throws FormatError if there is none
  ValueId output(std::string_view name) const;      ///< throws FormatError if there is none
  std::vector<ValueId> with_role(Role role) const;  ///< in the order of adding

  /// The same network for inputs of other shapes, named as here; everything is inferred anew.
  Graph reshaped(const std::map<std::string, Shape>& inputs) const;
  /// The same network, whose runs leave the state alone.
  Graph without_updates() const;

 private:
  [[noreturn]] void refuse(ValueId id) const;

  std::vector<ValueInfo> values_;
  std::vector<Node> nodes_;
  std::vector<std::pair<std::string, ValueId>> outputs_;
  std::vector<Update> updates_;
  // No hash that a file could be made for.
  std::map<std::string, ValueId> named_;  // inputs and state
  std::map<std::string, ValueId> named_outputs_;
};

/// Readable listing, a line a node.
std::string to_string(const Graph& graph);

/// JSON text form, version 1: inputs, state, nodes, outputs.
std::string to_json(const Graph& graph);
/// Makes an operation from its name and options; null if there is none of that name. Throws FormatError for
/// options that it does not have.
using ReadOp = Op (*)(std::string_view name, const Attributes& attributes);
/// Reads a graph back. Throws FormatError on anything that is not a well-formed graph, ShapeError on one
/// whose shapes do not fit.
Graph from_json(const std::string& text, ReadOp read);

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
  Shape shape() const { return builder_->graph.value(id_).type.shape; }
  Mode mode() const { return builder_->mode; }
  graph::Builder& builder() const noexcept { return *builder_; }
  graph::ValueId id() const noexcept { return id_; }

 private:
  graph::Builder* builder_;
  graph::ValueId id_;
};

}  // namespace resnet

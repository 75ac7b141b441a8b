// A graph while passes change it.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "compiler/passes.h"
#include "compiler/value_index.h"
#include "ops/operation.h"

namespace resnet::compiler {

/// The nodes of a graph, in its numbering of values. A node that was merged into another leaves an empty
/// place; the others stay in an order in which they can run. Nodes change through the functions below alone,
/// which keep account of who makes and who reads a value: asking for that costs no search.
class Draft {
 public:
  Draft(const StoredGraph& stored, const Target& target);

  /// What the nodes have become.
  StoredGraph rebuild() const;

 protected:
  std::size_t places() const noexcept { return nodes_.size(); }
  bool has(std::size_t j) const { return nodes_[j].has_value(); }
  const graph::Node& node(std::size_t j) const { return *nodes_[j]; }
  void replace(std::size_t j, graph::Node node);
  void remove(std::size_t j);
  void set_input(std::size_t j, std::size_t slot, graph::ValueId id);
  void set_output(std::size_t j, std::size_t slot, graph::ValueId id);
  /// The operation at place j, if it is an O and there still is a node.
  template <class O>
  const O* op(std::size_t j) const {
    return nodes_[j] ? ops::as<O>(*nodes_[j]) : nullptr;
  }
  /// The places of the nodes that read a value, ascending; a node that reads it twice is there twice. Valid
  /// until a node changes.
  const std::vector<std::size_t>& consumers(graph::ValueId id) const { return use(id).readers; }
  /// Whether it is an output of the graph, or updates its state.
  bool is_result(graph::ValueId id) const { return use(id).is_result; }
  std::optional<std::size_t> producer(graph::ValueId id) const { return use(id).producer; }
  /// The node whose main output is `id`.
  std::optional<std::size_t> main_producer(graph::ValueId id) const;
  /// A value that the graph does not have.
  graph::ValueId new_value(graph::ValueType type);
  const graph::ValueType& type(graph::ValueId id) const { return types_[at(id)]; }
  const Shape& shape(graph::ValueId id) const { return type(id).shape; }
  /// Whether the target's kernel serves node `node` with `op` as its operation.
  bool serves(const graph::Node& node, const ops::Operation& op) const;
  /// Calls change(options) on a copy of the options of the O at place j, which then has them.
  template <class O, class Change>
  void change(std::size_t j, const Change& change) {
    auto options = op<O>(j)->options();
    change(options);
    nodes_[j]->op = ops::make<O>(std::move(options));
  }
  /// Whether the target's kernel serves the O at place j with its options changed.
  template <class O, class Change>
  bool could(std::size_t j, const Change& change) const {
    auto options = op<O>(j)->options();
    change(options);
    return serves(*nodes_[j], *ops::make<O>(std::move(options)));
  }
  std::int64_t channels_of(graph::ValueId map) const { return shape(map)[1]; }

  const graph::Graph& graph_;
  const Target& target_;

 private:
  // Who makes a value, and who reads it.
  struct Use {
    std::optional<std::size_t> producer;
    std::vector<std::size_t> readers;
    bool is_result = false;
  };
  const Use& use(graph::ValueId id) const { return uses_[at(id)]; }
  void add_reader(graph::ValueId id, std::size_t j);
  void remove_reader(graph::ValueId id, std::size_t j);
  void set_producer(graph::ValueId id, std::size_t j);
  void remove_producer(graph::ValueId id, std::size_t j);

  std::vector<std::optional<graph::Node>> nodes_;
  std::vector<graph::ValueType> types_;  // as stored: of the graph's values, and of those that were added
  std::vector<Use> uses_;                // of the same
};

}  // namespace resnet::compiler

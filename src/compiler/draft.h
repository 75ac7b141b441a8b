// A graph while passes change it.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "ops/operation.h"
#include "resnet/graph.h"

namespace resnet::compiler {

/// The nodes of a graph, in its numbering of values. A node that was merged into another leaves an empty
/// place; the others stay in an order in which they can run.
class Draft {
 public:
  explicit Draft(const graph::Graph& graph);

  /// What the nodes have become.
  graph::Graph rebuild() const;

 protected:
  ops::FusionRole role_of(std::size_t j) const;
  /// The places of the nodes that read a value, one for each time.
  std::vector<std::size_t> consumers(graph::ValueId id) const;
  /// Whether somebody outside reads it.
  bool leaves(graph::ValueId id) const;
  std::optional<std::size_t> producer(graph::ValueId id) const;
  /// A value that the graph does not have.
  graph::ValueId new_value() { return values_++; }
  const Shape& shape(graph::ValueId id) const { return graph_.value(id).type.shape; }

  const graph::Graph& graph_;
  std::vector<std::optional<graph::Node>> nodes_;

 private:
  graph::ValueId values_;  // the graph's, and those that were added
};

}  // namespace resnet::compiler

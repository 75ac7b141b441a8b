// The passes that compile() runs, one after the other.
#pragma once

#include <vector>

#include "compiler/target.h"
#include "resnet/graph.h"

namespace resnet::compiler {

/// Fuses additions, ReLUs and max pools, and their gradients, with neighbours, where the target serves them
/// so. The result computes the same values.
graph::Graph fuse(const graph::Graph& graph, const Target& target);

/// A graph and what its values are stored as.
struct StoredGraph {
  graph::Graph graph;
  std::vector<graph::ValueType> types;
};

/// Decides what the values are stored as where activations and their gradients, of four axes, are to be f32
/// or bf16: those are bf16 that all their neighbours serve, never the graph's inputs and outputs.
StoredGraph store(graph::Graph graph, const Target& target, DType activations);

/// Makes batch norms of known statistics, with a residual and a ReLU behind them, the epilogue of the
/// convolution that makes x. What is left of them, their coefficients, follows from state alone.
StoredGraph fuse_evaluation(const StoredGraph& graph, const Target& target);

/// Takes batch norms apart where kernels beside them can do their parts: statistics in the epilogue of the
/// convolution that makes x, normalisation and ReLU in the prologue of those that read z, the sums of the
/// gradient in the epilogue of what makes dz, the gradient itself in the prologue of the weight gradient.
StoredGraph fuse_norms(const StoredGraph& graph, const Target& target);

}  // namespace resnet::compiler

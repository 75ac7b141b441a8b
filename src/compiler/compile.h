// Graph -> Plan.
#pragma once

#include <vector>

#include "base/machine.h"
#include "plan/plan.h"
#include "resnet/graph.h"

namespace resnet::compiler {

/// Merges operations into neighbours that carry them (ops::FusionRole); the result computes the same
/// values. Knows roles, no single operation.
graph::Graph fuse(const graph::Graph& graph);

/// Takes batch norms of a merged graph apart where their neighbours can do their parts (ops::NormPart), which
/// depends on what kernels those have.
graph::Graph carry_norms(const graph::Graph& graph, DType activations);

/// What the graph's values are stored as where activations and their gradients, of four axes, are to be f32
/// or bf16: those are bf16 that all their neighbours serve, never the graph's inputs and outputs.
std::vector<graph::ValueType> storage_types(const graph::Graph& graph, DType activations);

/// Chooses a kernel for every node and a place for every value. State must have its place in
/// `layout`. Everything follows from graph, instruction set and what activations are stored as; throws
/// ConfigError if that is bf16 and the instruction set has none.
plan::Plan compile(const graph::Graph& graph, const plan::StateLayout& layout, Isa isa,
                   DType activations = DType::f32);

}  // namespace resnet::compiler

// Graph -> Plan.
#pragma once

#include "base/machine.h"
#include "plan/plan.h"
#include "resnet/graph.h"

namespace resnet::compiler {

/// Merges operations into neighbours that carry them (ops::FusionRole); the result computes the same
/// values. Knows roles, no single operation.
graph::Graph fuse(const graph::Graph& graph);

/// Chooses a kernel for every node and a place for every value. State must have its place in
/// `layout`. Everything follows from graph and instruction set.
plan::Plan compile(const graph::Graph& graph, const plan::StateLayout& layout, Isa isa);

}  // namespace resnet::compiler

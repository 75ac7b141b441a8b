// Graph -> Plan, by one door.
#pragma once

#include "compiler/target.h"
#include "plan/plan.h"
#include "resnet/graph.h"

namespace resnet::compiler {

struct CompileOptions {
  DType activations = DType::f32;  // what they are stored as, f32 or bf16, with their gradients
  bool fuse = true;                // false: every operation by itself (for tests and explanation)
};

/// Runs all passes, then gives every node a kernel and every value a place. State must have its place in
/// `layout`. Everything follows from graph, target and options. Throws ConfigError if the target cannot store
/// activations so.
plan::Plan compile(const graph::Graph& graph, const Target& target, const plan::StateLayout& layout,
                   const CompileOptions& options = {});

}  // namespace resnet::compiler

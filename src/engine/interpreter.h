// Evaluates a graph in double, one readable reference at a time: the oracle of everything that is
// fast.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "resnet/graph.h"

namespace resnet::engine {

using Values = std::vector<double>;  // of one tensor, row-major, public layout
using NamedValues = std::map<std::string, Values>;

/// Runs all nodes in order, applies the updates to `state` and gives the outputs. `inputs` and `state`
/// hold every input and state value by name.
NamedValues interpret(const graph::Graph& graph, const NamedValues& inputs, NamedValues& state);

}  // namespace resnet::engine

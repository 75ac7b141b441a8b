// Evaluates a graph in double, one readable reference at a time: the oracle of everything that is
// fast.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "resnet/graph.h"

namespace resnet::engine {

using Values = std::vector<double>;  // of one tensor, row-major, public layout
using NamedValues = std::map<std::string, Values>;

/// Rounding in a model of a lesser arithmetic: every computed number is moved by up to `size` times the
/// root mean square of its tensor, at random (Monte Carlo arithmetic: Parker 1997). Running a graph a
/// few times under it shows how far results of that arithmetic may lie from the exact ones. Numbers so
/// near zero that rounding may turn their sign are turned: each may be the gate of a ReLU, which then
/// opens or closes by chance, and that is a jump of every gradient before it.
struct Noise {
  double size = 0;
  std::uint64_t seed = 0;
};

/// Runs all nodes in order, applies the updates to `state` and gives the outputs. `inputs` and `state`
/// hold every input and state value by name.
NamedValues interpret(const graph::Graph& graph, const NamedValues& inputs, NamedValues& state,
                      Noise noise = {});

}  // namespace resnet::engine

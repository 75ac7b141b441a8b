// What an engine takes for granted of a network, decided once, whoever made it: a module, a file, a program.
#pragma once

#include <set>
#include <string>

#include "resnet/graph.h"

namespace resnet::compiler {

/// Throws FormatError, which names the node and the operand, unless
///   - it is within the bounds of graph/limits.h,
///   - its inputs are `images`, f32 [N,...], and at most dropout's seed,
///   - all its operations are for inference, its state is f32 and has no name that engines keep for
///     themselves,
///   - activations follow from the images, so that their first axis is N, and all else that nodes read is
///     state: weights, biases, statistics. Each state value then has one layout, by how it is read,
///   - its output is an activation, and its updates are statistics.
void verify(const graph::Graph& network);

/// The state that its nodes read as weights.
std::set<std::string> weights_of(const graph::Graph& network);

}  // namespace resnet::compiler

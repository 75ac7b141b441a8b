// How modules add nodes to the graph that is being built.
#pragma once

#include <string>
#include <vector>

#include "ops/rules.h"
#include "resnet/nn.h"

namespace resnet::nn {

/// "path.name", or "name" at the root.
std::string join(const std::string& path, const std::string& name);

/// A builder for the graph of `module`, with the paths of all modules in it.
graph::Builder builder_of(const Module& module, Mode mode);

/// Adds a node and gives all its outputs.
inline std::vector<graph::ValueId> emit(Value x, graph::Op op, const std::string& name,
                                        std::vector<graph::ValueId> inputs) {
  return x.builder().graph.add_node(std::move(op), name, std::move(inputs));
}

inline ops::Pair pair(Size2 size) {
  return {size.height, size.width};
}

/// A name for what is called without a place in the network, e.g. relu(x): beside the node that made x.
inline std::string beside(Value x, const std::string& op) {
  const graph::ValueInfo& info = x.builder().graph.value(x.id());
  if (info.producer < 0) return op;
  const std::size_t dot = info.name.rfind('.');
  return dot == std::string::npos ? op : info.name.substr(0, dot + 1) + op;
}

}  // namespace resnet::nn

// How each operation of a network is written in ONNX.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/onnx/graph_writer.h"
#include "resnet/graph.h"

namespace resnet::io::onnx {

/// A node on its way into ONNX: the names of its inputs by slot, "" where one is absent, and the name that
/// its result shall have.
struct Placed {
  const graph::Graph& graph;
  const graph::Node& node;
  const std::vector<std::string>& inputs;
  const std::string& result;
  const Shape& input_shape() const { return graph.value(node.inputs[0]).type.shape; }
};

/// One kind of operation.
struct Mapping {
  std::string_view operation;
  /// Adds its nodes. Null: it is refused.
  void (*write)(GraphWriter& to, const Placed& placed);
  const char* refusal = "";
};

/// Of all operations that networks may have.
std::span<const Mapping> mappings();

/// Adds the nodes of an operation. Throws FormatError, with the node's name, for one that is refused.
void write(GraphWriter& to, const Placed& placed);

}  // namespace resnet::io::onnx

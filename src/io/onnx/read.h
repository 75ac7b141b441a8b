// An ONNX file of ours, read back: its preprocessing as nodes, its network as a graph and its state.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "io/onnx/schema.h"
#include "resnet/engine.h"
#include "resnet/graph.h"

namespace resnet::io::onnx {

/// Bytes that a message of protobuf has at most.
inline constexpr std::int64_t kMostFile = std::numeric_limits<std::int32_t>::max();

struct Read {
  schema::ModelProto proto;
  int preprocessing = 0;   // how many nodes, from the first, are the preprocessing
  std::int64_t nodes = 0;  // of the network
  bool softmax = false;    // at its end, which the graph has not
  graph::Graph graph;      // for one image of `height` x `width`
  State state;             // of the network
};

/// `height` and `width` are of the network's input where the file leaves them open. Throws FormatError for
/// anything that the exporter does not write: an operand that is not there, a name twice, a tensor of another
/// length than its shape, an operator that it does not know.
Read read_network(std::string_view text, std::int64_t height = 0, std::int64_t width = 0);

/// Throws FormatError unless the weights are these, bit for bit.
void check_weights(const Read& read, const State& state);

}  // namespace resnet::io::onnx

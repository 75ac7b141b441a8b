// A network taken apart for its drawing: what its boxes say, and where shortcuts leave and join.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "resnet/graph.h"

namespace resnet::nn {

struct Box {
  std::string kind;  // its class in the style sheet
  std::string text;
  Shape output;
  bool operator==(const Box& other) const { return text == other.text; }
};

// A way around the boxes [from, to) of a part, into the sum `to`.
struct Skip {
  std::size_t from, to;
  std::vector<Box> boxes;
  bool operator==(const Skip&) const = default;
};

// A residual block, or one box outside of any.
struct Part {
  std::vector<Box> boxes;
  std::vector<Skip> skips;
  int times = 1;
};

/// Takes a graph apart: the trunk is the longest way from the output to the input; what joins it in a
/// sum is a shortcut. (A shortcut's own shortcuts are not drawn.) Blocks that repeat are one part.
std::vector<Part> parts_of(const graph::Graph& graph);

/// Extents of one example: "64×56×56".
std::string extents(const Shape& shape);

}  // namespace resnet::nn

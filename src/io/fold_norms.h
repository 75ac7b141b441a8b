// Batch norms of evaluation in the convolutions before them.
#pragma once

#include <cstdint>

#include "resnet/model_file.h"

namespace resnet::io {

struct Folded {
  graph::Graph graph;  // with biases where norms were
  State state;         // of the graph alone, without counts
  std::int64_t norms = 0;
};

/// The same network without the batch norms whose input is the result of a convolution that nothing else
/// reads: w' = w s, b' = (b - mean) s + beta with s = gamma / sqrt(var + eps), in double, rounded once. Other
/// norms stay, and so do those whose fold would be no finite numbers in f32.
/// With `fold` false all of them stay.
Folded fold_norms(const ModelFile& model, bool fold = true);

}  // namespace resnet::io

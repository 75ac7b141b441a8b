// A model's preprocessing as nodes of an ONNX graph.
#pragma once

#include <string>

#include "io/onnx/graph_writer.h"
#include "resnet/data.h"

namespace resnet::io::onnx {

inline constexpr const char* kPreprocessingPrefix = "preprocessing/";  // of the names of its nodes

/// From `images`, u8 [N,H,W,C] with 1 or 3 channels, to what the network takes, f32 [N,C,H,W], which gets the
/// name `result`. The arithmetic is that of data::preprocess(): resizing is a product with a matrix of
/// weights that are worked out from the picture's size, whole multiples of 2^-22, whose sums f64 holds
/// exactly; what a crop leaves out is not worked out. Throws FormatError where no picture fits the network.
void write_preprocessing(GraphWriter& to, const data::Preprocessing& preprocessing, const std::string& images,
                         const std::string& result);

}  // namespace resnet::io::onnx

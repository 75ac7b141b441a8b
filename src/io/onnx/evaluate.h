// The nodes of an ONNX preprocessing, computed one by one as the format defines them.
#pragma once

#include "io/onnx/schema.h"
#include "resnet/images.h"
#include "resnet/tensor.h"

namespace resnet::io::onnx {

/// What the first `nodes` nodes of `graph` make of a picture, f32 [1,C,H,W]. Readable, and not fast. Each
/// result is rounded to its type. Throws FormatError for an operator that no preprocessing of ours has, and
/// for operands that do not fit.
Tensor evaluate(const schema::GraphProto& graph, int nodes, const images::Image& picture);

}  // namespace resnet::io::onnx

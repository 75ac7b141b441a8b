// What makes a safetensors file a model file.
#pragma once

#include "io/safetensors.h"
#include "resnet/model_file.h"

namespace resnet::io {

/// Metadata with this key: a model file.
inline constexpr const char* kGraphKey = "resnet.graph";

/// The model that tensors and metadata of a file are. Throws Error, without the file's name.
ModelFile model_of(State tensors, const Metadata& metadata);

}  // namespace resnet::io

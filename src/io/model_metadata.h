// What a model file says besides its tensors.
#pragma once

#include <filesystem>

#include "io/safetensors.h"
#include "resnet/model_file.h"

namespace resnet::io {

/// Metadata with this key: a model file.
inline constexpr const char* kGraphKey = "resnet.graph";
inline constexpr const char* kPreprocessingKey = "resnet.preprocessing";
inline constexpr const char* kClassesKey = "resnet.classes";

/// The metadata of a model's file. Throws FormatError with the name of `path` unless read_model() would take
/// the model: its graph is verified, and its state is the graph's.
Metadata metadata_of(const ModelFile& model, const std::filesystem::path& path);

/// The model that tensors and metadata of a file are. Throws Error, without the file's name.
ModelFile model_of(State tensors, const Metadata& metadata);

}  // namespace resnet::io

// What a model file says besides its tensors.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.h"
#include "resnet/model_file.h"

namespace resnet::io {

/// Metadata with this key: a model file.
inline constexpr const char* kGraphKey = "resnet.graph";
inline constexpr const char* kPreprocessingKey = "resnet.preprocessing";
inline constexpr const char* kClassesKey = "resnet.classes";

/// Metadata with this key: a run's checkpoint (train/checkpoint.h). Its tensors' names begin with what they
/// belong to.
inline constexpr const char* kCheckpointKey = "resnet.checkpoint";
inline constexpr std::string_view kState = "state/", kAverage = "average/", kBest = "best/";
inline constexpr const char* kCheckpointHashKey = "resnet.sha256";  // checkpoint_hash() (model_hash.h)

/// What a model's outputs stand for; none where the metadata says nothing of it. Throws FormatError, without
/// the file's name.
std::vector<std::string> classes_of(const Metadata& metadata);

/// The metadata of a model's file. Throws FormatError with the name of `path` unless read_model() would take
/// the model: its graph is verified, and its state is the graph's.
Metadata metadata_of(const ModelFile& model, const std::filesystem::path& path);

/// The model that tensors and metadata of a file are; of a checkpoint the network as evaluations see it: the
/// average of weights, where there is one, and its hash must be right. Throws Error, without the file's name.
ModelFile model_of(State tensors, const Metadata& metadata);

}  // namespace resnet::io

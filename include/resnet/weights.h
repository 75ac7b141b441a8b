// Weights from elsewhere: files of PyTorch, torchvision and timm as named tensors, the network that they
// belong to, and networks that are filled with them. docs/weights.md says what is read, and how safely.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "resnet/data.h"
#include "resnet/engine.h"
#include "resnet/model_file.h"
#include "resnet/models.h"
#include "resnet/nn.h"

namespace resnet {

/// What a file of weights holds.
struct Weights {
  std::string file;  // its path, for messages
  /// In the file's order. Floating-point numbers are f32, counts of batches i64, other integers i64, i32 or
  /// u8.
  State tensors;
  std::string prefix = {};  // that all names had in front, such as "module."; taken off
  std::map<std::string, std::string> metadata = {};  // of a safetensors file
  std::vector<std::string> notes = {};               // what was done to read it, a line each
  std::vector<std::filesystem::path> parts = {};     // the files that an index names
};

/// Reads, as its content says whatever it is called,
///   - safetensors, of F16, BF16, F32, F64, I8 to I64, U8 and BOOL; model files and checkpoints of this program too;
///   - the index.json of a safetensors file in parts, which stand beside it;
///   - what PyTorch's torch.save() writes since 1.6 (.pth, .pt): a state dict, or a dict that holds one.
///     Nothing in it is executed; a pickle that asks for anything else than tensors and plain data is refused
///     by name.
/// f16 and bf16 become f32 exactly; f64 is rounded, and a note says if that changed a number. Throws IoError,
/// or FormatError with the file's name and what it is. Memory: the file, and up to sixteen times what it
/// stores, if tensors share it and its types are widened.
Weights read_weights(const std::filesystem::path& path);

/// A tensor of which file and network do not agree: "F32 [64,3,7,7]", or "" where there is none.
struct TensorDifference {
  std::string name, file, network;
};
/// "tensor 'fc.weight' is F32 [3,512], the network has F32 [10,512]".
std::string to_string(const TensorDifference& difference);

/// The network of the zoo (models::make) whose tensors a file's are.
struct Recognition {
  std::string model;              // "resnet50"; the nearest where there are differences, "" if none is near
  models::ResNetOptions options;  // beside the name's own, with in_channels and classes
  std::string family;             // "torchvision", "timm" or "the chapter's"
  std::string own_options;        // "blocks 1,1, stem small" of the options but those two; mostly ""
  std::vector<TensorDifference> differences;  // empty: it is that network

  bool known() const noexcept { return !model.empty() && differences.empty(); }
};
/// "torchvision resnet18, 1000 classes".
std::string to_string(const Recognition& recognition);

/// Guesses the network from names and shapes, builds it, and compares all tensors. Names alone do not say
/// what strides are: those of a network with `own_options` are taken to be its name's own.
Recognition recognise(const Weights& weights);

/// What may differ between a file and the network that it is for.
struct LoadOptions {
  /// A head of other classes, or one that the file lacks, stays as it is in the network.
  bool replace_head = false;
  /// A first convolution of another number of input channels is adapted as timm's adapt_input_conv() does:
  /// for one channel the sum over the file's, from three to n theirs in turn, times 3/n; from one to n its
  /// own, times 1/n.
  bool adapt_input = false;
  /// Told each difference before they are refused.
  std::function<void(const TensorDifference&)> differs = {};
  /// What the network tells apart, by output. With `replace_head` a head is of other classes too where the
  /// file names as many, but not these. None: not looked at.
  std::vector<std::string> classes = {};
};
struct LoadReport {
  bool new_head = false, adapted_input = false;
  std::vector<std::string> decisions;  // a line each, with those of reading the file
};

/// Fills a network from a file, whose tensors must be exactly the network's by name and shape
/// (`num_batches_tracked` may be absent) but for what `options` allow. Throws IoError, or FormatError that
/// names the first tensors that differ, with what the file holds; the network is then untouched.
LoadReport load_weights(nn::Module& net, const std::filesystem::path& path, const LoadOptions& options = {});
LoadReport load_weights(nn::Module& net, const Weights& weights, const LoadOptions& options = {});

/// The paths of the layers that take a network's inputs and give its outputs: its first and last with weights.
std::string stem_of(const nn::Module& net);
std::string head_of(const nn::Module& net);

struct ImportOptions {
  std::vector<std::string> classes = {};                  // by output, as many as there are; none: numbers
  std::optional<data::Preprocessing> preprocessing = {};  // none: that of family_preprocessing()
};

/// What the weights that a family publishes under a name were trained to see: torchvision's 224x224 out of
/// the middle of 256, bilinear; timm's by its name; the chapter's 96x96 without normalisation; the first two
/// with ImageNet's mean and deviation (timm's resnetv2: 0.5 for both) if there are three channels.
data::Preprocessing family_preprocessing(const Recognition& recognition);

/// A model of a file of weights that is recognised; a model file of this program stays what it is. Throws
/// IoError, FormatError where it is not recognised or the classes are of another number.
ModelFile import_model(const std::filesystem::path& path, const ImportOptions& options = {});
ModelFile import_model(const Weights& weights, const ImportOptions& options = {});

}  // namespace resnet

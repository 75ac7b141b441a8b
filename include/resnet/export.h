// Trained networks as files for other programs: ONNX, and safetensors of fewer bits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>

#include "resnet/images.h"
#include "resnet/model_file.h"

namespace resnet {

struct OnnxOptions {
  int opset = 17;          // 17 or 18; the nodes are the same
  bool fold_norms = true;  // put a batch norm into the convolution before it, where nothing else reads that
  bool softmax = false;    // give probabilities, not logits
  /// Do what Preprocessing says inside the graph, from the bytes of decoded pictures: `images` is then u8
  /// [N,H,W,C] of any size, gray or RGB, those of one call alike. In Pillow's arithmetic, so that the network
  /// sees the same numbers as here, bit for bit, where the runtime computes in f64 what the graph asks for.
  bool with_preprocessing = false;
};

/// What was written.
struct OnnxFacts {
  std::int64_t bytes = 0;       // of the file
  std::int64_t nodes = 0;       // of the network, without those of the preprocessing
  std::int64_t parameters = 0;  // elements of the weights
  std::int64_t folded = 0;      // batch norms in their convolutions
};

/// Writes a model as ONNX. Input `images`: f32 [batch,C,H,W], preprocessed, of any batch size, or as
/// OnnxOptions::with_preprocessing has it; output `output`. Weights keep their names; nodes have those of the
/// modules. Metadata: `resnet.preprocessing` and `resnet.classes` as in a model file, `names` (a JSON object
/// from number to class, as other programs have it) and ONNX's own `Image.*`.
/// The text of the file is read back and checked before it takes the place of an old one, atomically and
/// durably: every operand is there, and every weight has its bits. Throws ConfigError for another opset;
/// FormatError that names what ONNX, or a file of 2 GB, cannot hold; IoError. Then the old file is still
/// there.
OnnxFacts export_onnx(const std::filesystem::path& path, const ModelFile& model,
                      const OnnxOptions& options = {});

/// The same for a network and the data set that it was trained for.
OnnxFacts export_onnx(const std::filesystem::path& path, const nn::Module& net, const data::Dataset& dataset,
                      const OnnxOptions& options = {});

/// How far an ONNX file is from the model that it was made of.
struct OnnxDeviation {
  std::int64_t pictures = 0;
  std::int64_t same_top1 = 0;  // pictures whose largest output is the same
  std::int64_t nonfinite = 0;  // pictures of which an output is NaN or infinite; none of same_top1
  double input = 0;            // largest difference of what the network sees; 0 without preprocessing inside
  double output = 0;           // largest difference of an output
  double largest = 0;          // magnitude of an output of the model
};

/// Reads a file of export_onnx() and computes `pictures` by it: what is before the network node by node as
/// ONNX defines them, the network's nodes and weights on the engine of `options`. Compares with `model`. Throws
/// FormatError if the file is no such file, ShapeError for a picture that the model does not take.
OnnxDeviation onnx_deviation(const std::filesystem::path& path, const ModelFile& model,
                             std::span<const images::Image> pictures, const EngineOptions& options = {});
/// The same of pictures that are not all in memory: `next` gives one after the other, null behind the last. A
/// picture must be there until the next one is asked for.
OnnxDeviation onnx_deviation(const std::filesystem::path& path, const ModelFile& model,
                             const std::function<const images::Image*()>& next,
                             const EngineOptions& options = {});

/// How a file holds floating-point weights.
enum class WeightType : std::uint8_t { f32, f16, bf16 };

/// Writes the state with PyTorch's names, which load_state_dict(strict=True) takes, and the metadata of a
/// model file; floats as `type`, rounded to the nearest, ties to even; counts stay i64. Read back and
/// checked, atomic and durable. Gives the bytes of the tensors. Throws FormatError that names a tensor with a
/// number beyond the type's range, IoError.
std::int64_t export_safetensors(const std::filesystem::path& path, const ModelFile& model,
                                WeightType type = WeightType::f32);

}  // namespace resnet

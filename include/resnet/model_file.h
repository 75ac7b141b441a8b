// Model files: a trained network with all that using it takes. Weights alone: resnet/weights.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "resnet/data.h"
#include "resnet/engine.h"
#include "resnet/graph.h"
#include "resnet/nn.h"
#include "resnet/tensor.h"

namespace resnet {

/// What a model file holds: the network as an inference graph, its state, what happens to an image
/// before it, and what its outputs mean. The file is safetensors, readable by PyTorch: the state under
/// its names, and metadata `resnet.format` ("1"), `resnet.graph`, `resnet.preprocessing` and
/// `resnet.classes` (JSON texts), and `format` ("pt").
struct ModelFile {
  State state;         // in PyTorch's order
  graph::Graph graph;  // evaluation mode, input "images", output "output"; any batch size
  data::Preprocessing preprocessing;
  std::vector<std::string> classes;  // by output; may be empty, or fewer than there are outputs
};

/// A network, and the data set that it was trained for, as a model file holds them. Throws ConfigError for
/// parameters that are not set.
ModelFile model_of(const nn::Module& net, const data::Dataset& dataset);

/// Writes a model file, atomically and durably: if it fails, what was there is still there. Throws IoError,
/// FormatError for what a file cannot hold, and ConfigError for parameters that are not set.
void save_model(const std::filesystem::path& path, const ModelFile& model);

/// The same for a network and the data set that it was trained for.
void save_model(const std::filesystem::path& path, const nn::Module& net, const data::Dataset& dataset);

/// Reads a model file. The graph is verified like any graph, and its state values must be exactly the
/// file's tensors (`num_batches_tracked` may be absent; F16 and BF16 become f32). A checkpoint of a run
/// (resnet/checkpoint.h) is read as its model: the average of weights where there is one, else the state of
/// its step. Throws IoError, or FormatError with the file's name and what does not fit.
ModelFile read_model(const std::filesystem::path& path);

/// The same for a file's bytes in memory; `name` stands for them in messages.
ModelFile parse_model(std::span<const std::byte> bytes, const std::string& name);

/// A network ready to answer. It needs no C++ of the modules that built it. Any number of threads may call
/// the functions of one Model, and calls run at the same time on one copy of the weights, with the bits of a
/// call by itself: as many as the usable cores allow, each with EngineOptions::threads threads
/// (make_inference_engine()). For the most answers a second with many callers, give it one thread:
/// EngineOptions{.threads = 1}; for the quickest single answer leave it at all cores, where calls take turns.
/// A child of fork() may use it too. On a GPU calls take turns, and a child cannot use it.
class Model {
 public:
  explicit Model(ModelFile file, const EngineOptions& options = {});

  /// Images [N,C,H,W], preprocessed -> the network's output, [N,classes] for a classifier.
  Tensor infer(const ImageView& images) const { return engine_->infer(images); }

  /// Class and probability (softmax) of a picture, the likeliest first; of files predict() (resnet/predict.h)
  /// gives them, decoded as training did. Outputs beyond the named
  /// classes have their number as a name. Throws ShapeError if the network is no classifier,
  /// an output is not finite, or the preprocessing cannot take the picture.
  std::vector<std::pair<std::string, float>> classify(const data::Image& image) const;

  /// Number and probability of the `most` likeliest outputs in row `n` of what infer() gave. Throws
  /// ShapeError if there is no such row, it is not finite, or the network is no classifier, ConfigError for
  /// `most` below 1.
  std::vector<std::pair<std::size_t, float>> ranked(const Tensor& logits, std::int64_t n,
                                                    std::int64_t most) const;

  /// The same with their names, as classify().
  std::vector<std::pair<std::string, float>> top_of(const Tensor& logits, std::int64_t n,
                                                    std::int64_t most) const;

  const graph::Graph& graph() const noexcept { return graph_; }
  const data::Preprocessing& preprocessing() const noexcept { return preprocessing_; }
  const std::vector<std::string>& classes() const noexcept { return classes_; }
  /// For evaluate() and infer() of views; it does not train.
  Engine& engine() const noexcept { return *engine_; }

 private:
  graph::Graph graph_;
  data::Preprocessing preprocessing_;
  std::vector<std::string> classes_;
  std::unique_ptr<Engine> engine_;
};

/// read_model() and a Model of it, on EngineOptions::device. Throws as read_model() does, MemoryError, and
/// ConfigError or DeviceError where that device cannot be used.
Model load_model(const std::filesystem::path& path, const EngineOptions& options = {});

}  // namespace resnet

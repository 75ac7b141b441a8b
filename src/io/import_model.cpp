// A model of weights from elsewhere.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "graph/names.h"
#include "io/model_metadata.h"
#include "resnet/weights.h"
#include "tensor/nonfinite.h"

namespace resnet {
namespace {

// What timm's weights of a name's default tag are given, where it is not 224 of 256 pixels and ImageNet's
// numbers. Source: timm 1.0, default_cfgs of timm/models/resnet.py and resnetv2.py: crop_pct, input_size,
// mean and std.
struct TimmInput {
  const char* name;
  std::int64_t shorter_side, crop;
  bool halves;  // mean and deviation 0.5
};
constexpr TimmInput kTimmInputs[] = {{"resnet101d", 269, 256, false}, {"seresnet50", 235, 224, false},
                                     {"resnetv2_18", 248, 224, true}, {"resnetv2_34", 248, 224, true},
                                     {"resnetv2_50", 235, 224, true}, {"resnetv2_101", 235, 224, true}};

// The chapter's pictures of Fashion-MNIST: 96x96, in [0, 1].
constexpr int kChapterSide = 96;
constexpr std::int64_t kSide = 224;  // of a picture, for the size that a graph is built for; it takes any

void check_classes(const Weights& weights, const ImportOptions& options, std::int64_t outputs,
                   const std::string& network) {
  if (options.classes.empty() || std::ssize(options.classes) == outputs) return;
  throw FormatError(fmt::format("{}: {} names for the {} classes of {}", weights.file, options.classes.size(),
                                outputs, network),
                    "a line for each output, in their order");
}

void check_finite(const Weights& weights) {
  for (const auto& [name, tensor] : weights.tensors) {
    if (nonfinite_in(tensor) == NonFiniteKind::none) continue;
    throw FormatError(fmt::format("{}: {} has numbers that are not finite", weights.file, in_quotes(name)),
                      "the training that wrote it had diverged: give weights of before");
  }
}

}  // namespace

data::Preprocessing family_preprocessing(const Recognition& recognition) {
  data::Preprocessing result;
  result.channels = recognition.options.in_channels.value_or(3);
  if (recognition.family == "the chapter's") {
    result.resize = kChapterSide;
    return result;
  }
  TimmInput input{"", 256, 224, false};
  if (recognition.family == "timm") {
    result.filter = images::Filter::bicubic;
    const auto* found = std::ranges::find(kTimmInputs, recognition.model, &TimmInput::name);
    if (found != std::end(kTimmInputs)) input = *found;
  }
  result.resize = {input.shorter_side, 0};
  result.crop = {input.crop, input.crop};
  if (result.channels == 3) {
    result.normalization = input.halves ? data::Normalization{{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}}
                                        : data::Normalization{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
  }
  return result;
}

ModelFile import_model(const Weights& weights, const ImportOptions& options) {
  check_finite(weights);
  ModelFile model;
  if (weights.metadata.contains(io::kGraphKey)) {
    State tensors = weights.tensors;  // by the names of its own graph
    for (auto& [name, tensor] : tensors) name.insert(0, weights.prefix);
    try {
      model = io::model_of(std::move(tensors), weights.metadata);
    } catch (const Error& error) {
      throw FormatError(fmt::format("{}: {}", weights.file, error.what()), error.hint());
    }
    if (options.preprocessing) model.preprocessing = *options.preprocessing;
    const Shape& output = model.graph.value(model.graph.output(graph::kOutput)).type.shape;
    check_classes(weights, options, output.rank() == 2 ? output[1] : 0, "its network");
    if (!options.classes.empty()) model.classes = options.classes;
    return model;
  }
  const Recognition found = recognise(weights);
  if (found.model.empty()) {
    throw FormatError(fmt::format("{}: its {} tensors are of no network that is known", weights.file,
                                  weights.tensors.size()),
                      "residual networks of torchvision, timm and the chapter are known: docs/networks.md");
  }
  if (!found.differences.empty()) {
    throw FormatError(fmt::format("{}: not {}, the nearest: {}", weights.file, to_string(found),
                                  to_string(found.differences.front())),
                      fmt::format("{} tensors differ; is it a network that docs/networks.md lists?",
                                  found.differences.size()));
  }
  const std::int64_t channels = *found.options.in_channels, classes = found.options.classes.value_or(0);
  check_classes(weights, options, classes, to_string(found));
  model.preprocessing = options.preprocessing.value_or(family_preprocessing(found));
  const Shape example = data::preprocessed_shape(model.preprocessing, kSide, kSide);
  nn::Sequential net = models::make(found.model, found.options);
  load_weights(net, weights);
  model.graph = nn::trace(net, {1, channels, example[1], example[2]}, Mode::eval);
  model.state = state_of(net);
  model.classes = options.classes;
  return model;
}

ModelFile import_model(const std::filesystem::path& path, const ImportOptions& options) {
  return import_model(read_weights(path), options);
}

}  // namespace resnet

#include "resnet/model_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <string_view>

#include "base/json.h"
#include "base/text.h"
#include "compiler/verify.h"
#include "data/folder.h"
#include "graph/names.h"
#include "io/model_hash.h"
#include "io/model_metadata.h"
#include "io/safetensors.h"
#include "io/state_names.h"
#include "kernels/loss/softmax.h"
#include "ops/operation.h"

namespace resnet {
namespace {

constexpr const char* kFormatKey = "resnet.format";
constexpr const char* kFormat = "1";
using io::kClassesKey;

const char* const kDamaged = "the file is damaged, or another program wrote it";

const std::string& text_of(const io::Metadata& metadata, const char* key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    if (metadata.contains(io::kCheckpointKey))
      throw FormatError("a checkpoint without its network, as earlier versions wrote them",
                        "go on with its run, which ends in a model");
    throw FormatError(fmt::format("no '{}' in its metadata", key),
                      "it may hold weights alone: resnet import makes a model of them (import_model)");
  }
  return found->second;
}

std::vector<std::string> classes_from_json(const std::string& text) {
  const Json list = parse_json(text, data::kClassLimits);
  const auto is_text = [](const Json& name) { return name.is_text(); };
  if (!list.is_list() || !std::all_of(list.elements().begin(), list.elements().end(), is_text)) {
    throw FormatError(fmt::format("{} is not a list of texts", kClassesKey), kDamaged);
  }
  std::vector<std::string> classes;
  for (const Json& name : list.elements()) classes.push_back(name.text());
  return classes;
}

}  // namespace

std::vector<std::string> io::classes_of(const Metadata& metadata) {
  const auto found = metadata.find(kClassesKey);
  return found == metadata.end() ? std::vector<std::string>() : classes_from_json(found->second);
}

namespace {

// What engines take for granted, and that a file's network is computed from the images of its preprocessing
// alone.
void check_graph(const ModelFile& model) {
  const graph::ValueInfo& images = model.graph.value(model.graph.input(graph::kImages));
  const Shape& shape = images.type.shape;
  if (model.graph.with_role(graph::Role::input).size() != 1 || images.type.dtype != DType::f32 ||
      shape.rank() != 4) {
    throw FormatError("its network does not take 'images' F32 [N,C,H,W] alone", kDamaged);
  }
  if (shape[1] != model.preprocessing.channels) {
    throw FormatError(fmt::format("its network takes {}, its preprocessing gives {} channels",
                                  to_string(shape), model.preprocessing.channels),
                      kDamaged);
  }
  compiler::verify(model.graph);
  const graph::ValueInfo& result = model.graph.value(model.graph.output(graph::kOutput));
  const Shape& output = result.type.shape;
  if (result.role != graph::Role::computed) {
    throw FormatError(fmt::format("its output is {}, a computed F32 was expected",
                                  io::described(result.type.dtype, output)),
                      kDamaged);
  }
  const auto classes = static_cast<std::int64_t>(model.classes.size());
  if (classes > 0 && (output.rank() != 2 || output[1] < classes)) {
    throw FormatError(fmt::format("{} classes of a network whose output is {}", classes, to_string(output)),
                      kDamaged);
  }
}

struct Wanted {
  std::string name;
  DType dtype;
  Shape shape;
};

// The tensors must be the wanted ones, no less and no more, but for counts.
void check_tensors(const State& given, const std::vector<Wanted>& wanted, const std::string& hint) {
  std::map<std::string_view, const Tensor*> left;
  for (const auto& [name, tensor] : given) left[name] = &tensor;
  for (const Wanted& want : wanted) {
    const auto found = left.find(want.name);
    if (found == left.end()) {
      throw FormatError(
          fmt::format("tensor '{}' {} is missing", want.name, io::described(want.dtype, want.shape)), hint);
    }
    const Tensor& tensor = *found->second;
    if (tensor.dtype() != want.dtype || !(tensor.shape() == want.shape)) {
      throw FormatError(
          fmt::format("tensor '{}' is {}, the network has {}", want.name,
                      io::described(tensor.dtype(), tensor.shape()), io::described(want.dtype, want.shape)),
          hint);
    }
    left.erase(found);
  }
  for (const auto& [name, tensor] : given) {
    if (!left.contains(name) || io::is_count(name)) continue;
    throw FormatError(fmt::format("tensor '{}' {} is not in the network", name,
                                  io::described(tensor.dtype(), tensor.shape())),
                      hint);
  }
}

// Calls body(); whatever it finds wrong gets the file's name.
template <class Body>
void naming(const std::filesystem::path& path, const Body& body) {
  try {
    body();
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: {}", path.string(), error.what()), error.hint());
  } catch (const Error& error) {
    throw FormatError(fmt::format("{}: {}", path.string(), error.what()), kDamaged);
  }
}

// The graph for one image that also names the state no node of it reads, e.g. of a part that only
// training uses, so that the graph of a file always accounts for all its tensors.
graph::Graph stored_graph(const ModelFile& model) {
  const Shape& images = model.graph.value(model.graph.input(graph::kImages)).type.shape;
  if (images.rank() != 4) throw FormatError("a network whose input is not [N,C,H,W]");
  graph::Graph graph = model.graph.reshaped({{graph::kImages, {1, images[1], images[2], images[3]}}});
  std::set<std::string_view> named;
  for (const graph::ValueInfo& value : model.graph.values()) {
    if (graph::is_state(value.role)) named.insert(value.name);
  }
  for (const auto& [name, tensor] : model.state) {
    if (named.contains(name) || io::is_count(name)) continue;
    graph.add_state(graph::Role::buffer, name, {tensor.shape(), tensor.dtype()});
  }
  return graph;
}

std::vector<Wanted> state_of(const graph::Graph& graph) {
  std::vector<Wanted> wanted;
  for (const graph::ValueInfo& value : graph.values()) {
    if (graph::is_state(value.role)) wanted.push_back({value.name, value.type.dtype, value.type.shape});
  }
  return wanted;
}

// What a checkpoint holds of the network: not what optimisers keep beside it.
State network_of_checkpoint(State tensors, const graph::Graph& graph) {
  const auto is_average = [](const auto& named) { return named.first.starts_with(io::kAverage); };
  const std::string_view prefix = std::ranges::any_of(tensors, is_average) ? io::kAverage : io::kState;
  std::set<std::string> wanted;
  for (const graph::ValueInfo& value : graph.values()) {
    if (graph::is_state(value.role)) wanted.insert(value.name);
  }
  State state;
  for (auto& [name, tensor] : tensors) {
    if (!name.starts_with(prefix)) continue;
    std::string own = name.substr(prefix.size());
    if (wanted.contains(own)) state.emplace_back(std::move(own), std::move(tensor));
  }
  return state;
}

}  // namespace

io::Metadata io::metadata_of(const ModelFile& model, const std::filesystem::path& path) {
  Metadata metadata = {{"format", "pt"}, {kFormatKey, kFormat}};
  naming(path, [&] {
    const ModelFile stored{{}, stored_graph(model), model.preprocessing, model.classes};
    check_graph(stored);  // nothing is written that read_model() would refuse
    check_tensors(model.state, state_of(stored.graph), "");
    try {
      metadata[io::kGraphKey] = graph::to_json(stored.graph);
      metadata[kPreprocessingKey] = data::to_json(model.preprocessing);
      metadata[kClassesKey] = Json(model.classes).dump();
    } catch (const FormatError&) {
      const auto odd = std::ranges::find_if_not(model.classes, is_utf8);
      const std::string what = odd == model.classes.end() ? "a module" : fmt::format("the class '{}'", *odd);
      throw FormatError(fmt::format("the name of {} is not UTF-8, which the file could not hold", what),
                        "give it a name in UTF-8; nothing was written");
    }
    static_cast<void>(parse_json(metadata[io::kGraphKey]));  // within the limits of reading
    try {
      static_cast<void>(parse_json(metadata[kClassesKey], data::kClassLimits));
    } catch (const FormatError& error) {
      throw FormatError(fmt::format("the names of {} classes are more than a model file holds ({})",
                                    model.classes.size(), error.what()),
                        "fewer classes, or shorter names; nothing was written");
    }
  });
  return metadata;
}

void save_model(const std::filesystem::path& path, const ModelFile& model) {
  io::write_safetensors(path, model.state, io::metadata_of(model, path));
}

ModelFile model_of(const nn::Module& net, const data::Dataset& dataset) {
  const Shape& example = dataset.example_shape();
  return {resnet::state_of(net), nn::trace(net, {1, example[0], example[1], example[2]}, Mode::eval),
          dataset.preprocessing(), dataset.classes()};
}

void save_model(const std::filesystem::path& path, const nn::Module& net, const data::Dataset& dataset) {
  save_model(path, model_of(net, dataset));
}

ModelFile io::model_of(State tensors, const io::Metadata& metadata) {
  if (metadata.contains(kCheckpointKey)) {
    const auto hash = metadata.find(kCheckpointHashKey);
    if (hash == metadata.end() || hash->second != checkpoint_hash(tensors, metadata))
      throw FormatError("its contents are not what was written", kDamaged);
  }
  ModelFile model;
  if (const std::string& format = text_of(metadata, kFormatKey); format != kFormat) {
    throw FormatError(fmt::format("{} {}, this program reads {}", kFormatKey,
                                  Json(format).dump({.replace = true}), kFormat),
                      "a newer version of this program wrote it");
  }
  model.graph = graph::from_json(text_of(metadata, io::kGraphKey), ops::read);
  model.preprocessing = data::preprocessing_from_json(text_of(metadata, kPreprocessingKey));
  model.classes = classes_from_json(text_of(metadata, kClassesKey));
  check_graph(model);
  if (metadata.contains(kCheckpointKey)) tensors = network_of_checkpoint(std::move(tensors), model.graph);
  check_tensors(tensors, state_of(model.graph), kDamaged);
  model.state = std::move(tensors);
  return model;
}

namespace {

ModelFile model_of(io::Safetensors file, const std::filesystem::path& name) {
  ModelFile model;
  naming(name, [&] { model = io::model_of(std::move(file.tensors), file.metadata); });
  return model;
}

}  // namespace

ModelFile read_model(const std::filesystem::path& path) {
  return model_of(io::read_safetensors(path, io::StoredTypes::all), path);
}

ModelFile parse_model(std::span<const std::byte> bytes, const std::string& name) {
  return model_of(io::parse_safetensors(bytes, name, io::StoredTypes::all), name);
}

Model::Model(ModelFile file, const EngineOptions& options)
    : graph_(file.graph), preprocessing_(file.preprocessing), classes_(std::move(file.classes)) {
  engine_ = make_inference_engine({std::move(file.graph), std::nullopt, std::move(file.state)}, options);
}

std::vector<std::pair<std::string, float>> Model::classify(const data::Image& image) const {
  const Shape example = data::preprocessed_shape(preprocessing_, image.height, image.width);
  Tensor images(Shape{1, example[1], example[2], example[0]});
  data::preprocess(preprocessing_, image, images.values(), ImageLayout::nhwc);
  const Tensor logits = infer(ImageView::nhwc(images.view<float>()));
  return top_of(logits, 0, std::numeric_limits<std::int64_t>::max());
}

std::vector<std::pair<std::size_t, float>> Model::ranked(const Tensor& logits, std::int64_t n,
                                                         std::int64_t most) const {
  if (logits.shape().rank() != 2 || logits.empty()) {
    throw ShapeError("classify: expected an output [N,classes], got " + to_string(logits.shape()));
  }
  if (n < 0 || n >= logits.shape()[0]) {
    throw ShapeError("classify: there is no row " + std::to_string(n) + " of " + to_string(logits.shape()));
  }
  if (most < 1)
    throw ConfigError("classify: at most " + std::to_string(most) + " answers", "give at least 1");
  const auto outputs = static_cast<std::size_t>(logits.shape()[1]);
  const auto row = logits.values().subspan(static_cast<std::size_t>(n) * outputs, outputs);
  if (!std::all_of(row.begin(), row.end(), [](float logit) { return std::isfinite(logit); })) {
    throw ShapeError("classify: the network's output is not finite", "its training may have diverged");
  }
  const kernels::Softmax softmax = kernels::softmax_of(row.data(), logits.shape()[1]);
  std::vector<std::size_t> order(outputs);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto count = static_cast<std::ptrdiff_t>(std::min<std::int64_t>(most, logits.shape()[1]));
  std::partial_sort(order.begin(), order.begin() + count, order.end(),
                    [&](std::size_t a, std::size_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
  order.resize(static_cast<std::size_t>(count));
  std::vector<std::pair<std::size_t, float>> result;
  for (const std::size_t k : order) {
    const double probability = std::exp(static_cast<double>(row[k]) - softmax.largest) / softmax.exp_sum;
    result.emplace_back(k, static_cast<float>(probability));
  }
  return result;
}

std::vector<std::pair<std::string, float>> Model::top_of(const Tensor& logits, std::int64_t n,
                                                         std::int64_t most) const {
  std::vector<std::pair<std::string, float>> result;
  for (const auto& [k, probability] : ranked(logits, n, most))
    result.emplace_back(k < classes_.size() ? classes_[k] : std::to_string(k), probability);
  return result;
}

Model load_model(const std::filesystem::path& path, const EngineOptions& options) {
  return Model(read_model(path), options);
}

}  // namespace resnet

#include "resnet/export.h"

#include <fmt/core.h>

#include <map>
#include <memory>
#include <unordered_map>

#include "base/files.h"
#include "base/json.h"
#include "graph/names.h"
#include "io/fold_norms.h"
#include "io/model_metadata.h"
#include "io/onnx/graph_writer.h"
#include "io/onnx/operations.h"
#include "io/onnx/preprocessing.h"
#include "io/onnx/read.h"
#include "io/onnx/schema.h"
#include "ops/avg_pool.h"
#include "ops/max_pool.h"
#include "resnet/version.h"

namespace resnet {
namespace io::onnx {
namespace {

using graph::ValueId;

void set_type(schema::ValueInfoProto& value, DType dtype, const std::vector<std::string>& extents,
              const std::vector<const char*>& meanings) {
  schema::TypeProto::Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(data_type(dtype));
  for (std::size_t i = 0; i < extents.size(); ++i) {
    auto& dim = *tensor.mutable_shape()->add_dim();
    const std::string& extent = extents[i];
    if (extent.find_first_not_of("0123456789") == std::string::npos) {
      dim.set_dim_value(std::stoll(extent));
    } else {
      dim.set_dim_param(extent);
    }
    if (i < meanings.size()) dim.set_denotation(meanings[i]);
  }
}

// [batch, ...] with the extents behind it, or `any` for those of maps.
std::vector<std::string> with_batch(const Shape& shape, bool any = false) {
  std::vector<std::string> extents = {"batch"};
  for (int axis = 1; axis < shape.rank(); ++axis)
    extents.push_back(any && axis > 1 ? fmt::format("extent{}", axis) : std::to_string(shape[axis]));
  return extents;
}

// Whether pictures may come out of the preprocessing at different sizes.
bool of_any_size(const data::Preprocessing& p) {
  return p.crop.height == 0 && p.resize.width == 0;
}

class Exporter {
 public:
  Exporter(const ModelFile& model, const graph::Graph& graph, const State& state, const OnnxOptions& options)
      : model_(model), graph_(graph), options_(options), to_(*proto_.mutable_graph()) {
    for (const auto& [name, tensor] : state) state_.emplace(name, &tensor);
  }

  schema::ModelProto run() {
    constexpr int kIrVersion = 8;  // that of opsets 17 and 18, whatever the headers here are of
    proto_.set_ir_version(kIrVersion);
    proto_.add_opset_import()->set_version(options_.opset);
    proto_.mutable_opset_import(0)->set_domain("");
    proto_.set_producer_name("resnet.cpp");
    proto_.set_producer_version(kVersion);
    proto_.mutable_graph()->set_name("resnet");
    write_input();
    write_nodes();
    write_output();
    write_metadata();
    return std::move(proto_);
  }

 private:
  void write_input() {
    const ValueId images = graph_.input(graph::kImages);
    const Shape& shape = graph_.value(images).type.shape;
    schema::ValueInfoProto& input = *proto_.mutable_graph()->add_input();
    input.set_name(to_.unique(graph::kImages));
    static_cast<void>(to_.unique(graph::kOutput));
    input.mutable_type()->set_denotation("IMAGE");
    if (!options_.with_preprocessing) {
      set_type(input, DType::f32, with_batch(shape),
               {"DATA_BATCH", "DATA_CHANNEL", "DATA_FEATURE", "DATA_FEATURE"});
      names_[images] = input.name();
      return;
    }
    set_type(input, DType::u8, {"batch", "height", "width", "channels"},
             {"DATA_BATCH", "DATA_FEATURE", "DATA_FEATURE", "DATA_CHANNEL"});
    names_[images] = to_.unique("preprocessed");
    write_preprocessing(to_, model_.preprocessing, input.name(), names_[images]);
  }

  void write_nodes() {
    const ValueId output = graph_.output(graph::kOutput);
    for (const graph::Node& node : graph_.nodes()) {
      std::vector<std::string> inputs;
      for (const ValueId id : node.inputs) inputs.push_back(id == graph::kNone ? "" : named(id));
      std::string result = graph::kOutput;
      if (node.outputs[0] != output) result = to_.unique(node.name);
      if (node.outputs[0] == output && options_.softmax) result = to_.unique("logits");
      write(to_, {graph_, node, inputs, result});
      names_[node.outputs[0]] = result;
    }
    if (options_.softmax)
      to_.add_named("Softmax", graph::kOutput, {named(output)}, {{"axis", std::int64_t{1}}});
  }

  void write_output() {
    const Shape& shape = graph_.value(graph_.output(graph::kOutput)).type.shape;
    schema::ValueInfoProto& output = *proto_.mutable_graph()->add_output();
    output.set_name(graph::kOutput);
    set_type(output, DType::f32,
             with_batch(shape, options_.with_preprocessing && of_any_size(model_.preprocessing)), {});
  }

  void write_metadata() {
    const auto add = [&](const char* key, const std::string& value) {
      auto& entry = *proto_.add_metadata_props();
      entry.set_key(key);
      entry.set_value(value);
    };
    const data::Preprocessing& p = model_.preprocessing;
    add(kPreprocessingKey, data::to_json(p));
    add(kClassesKey, Json(model_.classes).dump());
    Json names = Json::object();
    for (std::size_t k = 0; k < model_.classes.size(); ++k) names.add(std::to_string(k), model_.classes[k]);
    add("names", names.dump());
    add("Image.BitmapPixelFormat", p.channels == 1 ? "Gray8" : "Rgb8");
    add("Image.ColorSpaceGamma", "SRGB");
    if (options_.with_preprocessing) {
      add("Image.NominalPixelRange", "NominalRange_0_255");
    } else if (p.normalization.mean.empty()) {
      add("Image.NominalPixelRange", "Normalized_0_1");
    }
  }

  // Of a value; of state the first time it is read, which puts it into the file.
  std::string named(ValueId id) {
    std::string& name = names_[id];
    if (name.empty()) {
      const std::string& state = graph_.value(id).name;
      name = to_.constant(state, *state_.at(state));
    }
    return name;
  }

  const ModelFile& model_;
  const graph::Graph& graph_;
  const OnnxOptions& options_;
  schema::ModelProto proto_;
  GraphWriter to_;
  std::map<std::string, const Tensor*> state_;
  std::unordered_map<ValueId, std::string> names_;
};

// What ONNX could hold, but not as this model is computed here.
void check_representable(const ModelFile& model, const graph::Graph& graph, const OnnxOptions& options) {
  if (options.opset != 17 && options.opset != 18)
    throw ConfigError(fmt::format("OnnxOptions::opset cannot be {}", options.opset), "give 17 or 18");
  const Shape& output = graph.value(graph.output(graph::kOutput)).type.shape;
  if (options.softmax && output.rank() != 2) {
    throw FormatError(
        fmt::format("its output is {}, of which no probabilities can be made", to_string(output)),
        "export it without the softmax");
  }
  if (!options.with_preprocessing) return;
  if (model.preprocessing.jpeg_draft) {
    throw FormatError("its JPEG files are decoded at a smaller size, which is not inside ONNX",
                      "export it without the preprocessing, and decode as it does");
  }
  const Shape& images = graph.value(graph.input(graph::kImages)).type.shape;
  const Shape seen = data::preprocessed_shape(model.preprocessing, images[2], images[3]);
  if (!(seen == Shape{images[1], images[2], images[3]})) {
    throw FormatError(
        fmt::format("its preprocessing gives {}, its network takes {}", to_string(seen), to_string(images)),
        "export it without the preprocessing");
  }
  if (!of_any_size(model.preprocessing)) return;
  for (const graph::Node& node : graph.nodes()) {
    const auto* max_pool = ops::as<ops::MaxPool>(node);
    const auto* avg_pool = ops::as<ops::AvgPool>(node);
    if (!(max_pool != nullptr && max_pool->window().ceil_mode) &&
        !(avg_pool != nullptr && avg_pool->window().ceil_mode))
      continue;
    throw FormatError(
        fmt::format("{} '{}' rounds up, which cannot be written for pictures that are of any size behind "
                    "their preprocessing",
                    node.op->name(), node.name),
        "train with a resize to a height and a width, or export it without the preprocessing");
  }
}

std::string serialized(const schema::ModelProto& proto) {
  const std::size_t bytes = proto.ByteSizeLong();
  if (bytes > kMostFile) {
    throw FormatError(fmt::format("{} bytes are more than an ONNX file holds, 2^31 - 1", bytes),
                      "safetensors have no such bound");
  }
  std::string text;
  if (!proto.SerializeToString(&text)) throw FormatError("it cannot be written as ONNX");
  return text;
}

std::int64_t count_parameters(const State& state) {
  std::int64_t count = 0;
  for (const auto& [name, tensor] : state) count += tensor.shape().elements();
  return count;
}

// The network as it is to be written, and its state.
Folded prepared(const ModelFile& model, bool fold) {
  const Shape& images = model.graph.value(model.graph.input(graph::kImages)).type.shape;
  ModelFile one{{}, model.graph.reshaped({{graph::kImages, {1, images[1], images[2], images[3]}}}), {}, {}};
  one.state = model.state;
  return fold_norms(one, fold);
}

OnnxFacts write_model(const std::filesystem::path& path, const ModelFile& model, const OnnxOptions& options) {
  const Folded network = prepared(model, options.fold_norms);
  check_representable(model, network.graph, options);
  const std::int64_t parameters = count_parameters(network.state);
  if (parameters > kMostFile / 4) {  // before memory is taken
    throw FormatError(fmt::format("{} parameters are more than an ONNX file of 2 GB holds", parameters),
                      "safetensors have no such bound");
  }
  std::string text = serialized(Exporter(model, network.graph, network.state, options).run());
  const Shape& images = network.graph.value(network.graph.input(graph::kImages)).type.shape;
  const Read read = read_network(text, images[2], images[3]);
  check_weights(read, network.state);
  const std::span<const std::byte> part = std::as_bytes(std::span(text));
  write_file(path, {&part, 1}, Durability::read_back);
  return {.bytes = static_cast<std::int64_t>(text.size()),
          .nodes = read.nodes,
          .parameters = parameters,
          .folded = network.norms};
}

}  // namespace
}  // namespace io::onnx

OnnxFacts export_onnx(const std::filesystem::path& path, const ModelFile& model, const OnnxOptions& options) {
  static_cast<void>(io::metadata_of(model, path));  // nothing is written that is no model
  try {
    return io::onnx::write_model(path, model, options);
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: {}", path.string(), error.what()), error.hint());
  }
}

OnnxFacts export_onnx(const std::filesystem::path& path, const nn::Module& net, const data::Dataset& dataset,
                      const OnnxOptions& options) {
  return export_onnx(path, model_of(net, dataset), options);
}

}  // namespace resnet

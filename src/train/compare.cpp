#include "resnet/compare.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "base/named.h"
#include "graph/names.h"
#include "io/safetensors.h"
#include "ops/conv2d.h"

namespace resnet {
namespace {

using graph::Graph;
using graph::ValueId;

constexpr const char* kInput = "input";
constexpr double kRoundF32 = 0x1p-24, kRoundTf32 = 0x1p-12, kRoundBf16 = 0x1p-9;
constexpr double kMargin = 16;  // see the header

// The value that a module gives: of its own node, else of the last in it.
ValueId value_of(const Graph& graph, const std::string& name) {
  ValueId own = graph::kNone, inside = graph::kNone;
  for (const graph::Node& node : graph.nodes()) {
    if (node.name == name) own = node.outputs[0];
    if (node.name.starts_with(name + ".")) inside = node.outputs[0];
  }
  if (own == graph::kNone && inside == graph::kNone && name == graph::kOutput)
    return graph.output(graph::kOutput);
  return own == graph::kNone ? inside : own;
}

// All that `last` is computed from, with it as the output.
Graph cut_behind(const Graph& graph, ValueId last) {
  std::vector<bool> needed(graph.values().size(), false);
  needed[static_cast<std::size_t>(last)] = true;
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    const bool wanted = std::ranges::any_of(node->outputs, [&](ValueId id) {
      return id != graph::kNone && needed[static_cast<std::size_t>(id)];
    });
    for (const ValueId id : node->inputs) {
      if (wanted && id != graph::kNone) needed[static_cast<std::size_t>(id)] = true;
    }
  }
  Graph result;
  std::vector<ValueId> renumbered(graph.values().size(), graph::kNone);
  const auto mapped = [&](ValueId id) {
    return id == graph::kNone ? graph::kNone : renumbered[static_cast<std::size_t>(id)];
  };
  for (std::size_t i = 0; i < graph.values().size(); ++i) {
    const graph::ValueInfo& value = graph.values()[i];
    if (needed[i] && value.role != graph::Role::computed)
      renumbered[i] = result.add_state(value.role, value.name, value.type);
  }
  for (const graph::Node& node : graph.nodes()) {
    if (node.outputs[0] == graph::kNone || !needed[static_cast<std::size_t>(node.outputs[0])]) continue;
    std::vector<ValueId> inputs;
    for (const ValueId id : node.inputs) inputs.push_back(mapped(id));
    renumbered[static_cast<std::size_t>(node.outputs[0])] = result.add_node(node.op, node.name, inputs)[0];
  }
  result.add_output(graph::kOutput, mapped(last));
  return result;
}

State state_for(const Graph& graph, const State& state) {
  State result;
  std::map<std::string_view, const Tensor*> by_name;
  for (const auto& [name, tensor] : state) by_name.emplace(name, &tensor);
  for (const graph::ValueInfo& value : graph.values()) {
    if (graph::is_state(value.role)) result.emplace_back(value.name, *by_name.at(value.name));
  }
  return result;
}

// Terms of the longest sums before the end of a graph that is cut there, all together.
double terms_of(const Graph& graph) {
  double terms = 0;
  for (const graph::Node& node : graph.nodes()) {
    const ValueId w = node.inputs.size() > ops::ConvInput::w ? node.inputs[ops::ConvInput::w] : graph::kNone;
    const bool sums = ops::as<ops::Conv2d>(node) != nullptr || ops::as<ops::Linear>(node) != nullptr;
    if (!sums || w == graph::kNone) {
      terms += 1;
      continue;
    }
    const Shape& shape = graph.value(w).type.shape;
    terms += static_cast<double>(shape.elements()) / static_cast<double>(shape[0]);
  }
  return terms;
}

double tolerance_of(const Graph& graph, Precision precision) {
  double size = kRoundF32 * std::sqrt(terms_of(graph));
  if (precision != Precision::f32) {
    const double round = precision == Precision::bf16 ? kRoundBf16 : kRoundTf32;
    size = std::hypot(size, round * std::sqrt(static_cast<double>(graph.nodes().size())));
  }
  return kMargin * size;
}

// As f32; nothing if it is of another type.
std::optional<Tensor> as_floats(const Tensor& tensor) {
  if (tensor.dtype() == DType::f32) return tensor;
  if (tensor.dtype() != DType::f64) return std::nullopt;
  Tensor result(tensor.shape());
  std::ranges::transform(tensor.view<double>().span(), result.values().begin(),
                         [](double x) { return static_cast<float>(x); });
  return result;
}

void not_compared(LayerComparison& result, std::string fault) {
  result.absolute = result.relative = std::numeric_limits<double>::quiet_NaN();
  result.fault = std::move(fault);
}

void compare_values(const Tensor& there, const Tensor& here, LayerComparison& result) {
  if (!(there.shape() == here.shape()))
    return not_compared(result, fmt::format("its shape is {} here", to_string(here.shape())));
  double squares = 0;
  bool finite = true;
  for (std::size_t i = 0; i < here.values().size(); ++i) {
    const double a = there.values()[i], b = here.values()[i];
    if (!std::isfinite(a) || !std::isfinite(b)) {
      finite = finite && (a == b || (std::isnan(a) && std::isnan(b)));
      continue;
    }
    squares += a * a;
    result.largest = std::max(result.largest, std::abs(a));
    result.absolute = std::max(result.absolute, std::abs(a - b));
  }
  const double size =
      std::sqrt(squares / static_cast<double>(std::max<std::size_t>(here.values().size(), 1)));
  result.relative = result.absolute == 0 ? 0 : result.absolute / size;
  if (!finite) {
    not_compared(result, "numbers that are not finite stand at other places");
  } else if (!(result.relative <= result.tolerance)) {
    result.fault = fmt::format("they differ by {:.3g} of their size, more than {:.3g}", result.relative,
                               result.tolerance);
  }
}

constexpr const char* kScript = "docs/compare.md has the script that writes one";

io::Safetensors reference_in(const std::filesystem::path& path) {
  try {
    return io::read_safetensors(path);
  } catch (const FormatError& error) {
    throw FormatError(error.what(), kScript);
  }
}

const Tensor& input_of(const State& activations) {
  const Tensor* const input = find_named(activations, kInput);
  if (input == nullptr || input->dtype() != DType::f32 || input->shape().rank() != 4) {
    throw FormatError("a reference has the network's 'input', F32 [N,C,H,W]", kScript);
  }
  return *input;
}

}  // namespace

Comparison compare_layers(const ModelFile& model, const State& activations, const EngineOptions& options) {
  const Tensor& input = input_of(activations);
  const Graph graph = model.graph.reshaped({{graph::kImages, input.shape()}});
  Comparison result;
  std::multimap<ValueId, const State::value_type*> by_value;  // in the order of computing
  for (const auto& entry : activations) {
    if (entry.first == kInput) continue;
    const ValueId id = value_of(graph, entry.first);
    if (id == graph::kNone) {
      result.unknown.push_back(entry.first);
    } else {
      by_value.emplace(id, &entry);
    }
  }
  if (by_value.empty()) {
    throw FormatError("the reference has no output of a module that is in the network",
                      "its tensors are called as the modules: layer1.0.conv1, or output");
  }
  ValueId computed = graph::kNone;
  Tensor here;
  double tolerance = 0;
  for (const auto& [id, entry] : by_value) {
    if (id != computed) {
      const Graph part = cut_behind(graph, id);
      tolerance = tolerance_of(part, options.precision);
      const auto engine = make_engine({part, {}, state_for(part, model.state)}, options);
      here = engine->infer(input.view<float>());
      result.device = engine->device();
      computed = id;
    }
    LayerComparison layer{.name = entry->first, .shape = entry->second.shape(), .tolerance = tolerance};
    if (const std::optional<Tensor> there = as_floats(entry->second)) {
      compare_values(*there, here, layer);
    } else {
      not_compared(layer, fmt::format("it is {} there", name_of(entry->second.dtype())));
    }
    result.layers.push_back(std::move(layer));
  }
  return result;
}

Comparison compare_layers(const ModelFile& model, const std::filesystem::path& activations,
                          const EngineOptions& options) {
  const io::Safetensors file = reference_in(activations);
  try {
    return compare_layers(model, file.tensors, options);
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: {}", activations.string(), error.what()), error.hint());
  } catch (const ShapeError& error) {  // its input does not fit the network
    throw FormatError(fmt::format("{}: {}", activations.string(), error.what()), error.hint());
  }
}

}  // namespace resnet

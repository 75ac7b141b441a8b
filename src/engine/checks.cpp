#include "engine/checks.h"

#include <algorithm>

#include "compiler/optimizer.h"
#include "compiler/training.h"

namespace resnet::engine {
namespace {

const Tensor* find(const State& state, const std::string& name) {
  const auto found =
      std::find_if(state.begin(), state.end(), [&](const auto& entry) { return entry.first == name; });
  return found == state.end() ? nullptr : &found->second;
}

void check_graph(const graph::Graph& graph, const State& state) {
  for (const graph::ValueInfo& value : graph.values()) {
    if (value.role != graph::Role::parameter && value.role != graph::Role::buffer) continue;
    const Tensor* tensor = find(state, value.name);
    if (tensor == nullptr) throw ShapeError("the network's state lacks '" + value.name + "'");
    if (!(tensor->shape() == value.type.shape) || tensor->dtype() != value.type.dtype) {
      throw ShapeError("'" + value.name + "': expected " + to_string(value.type.shape) + ", got " +
                       to_string(tensor->shape()));
    }
  }
}

}  // namespace

std::map<std::string, graph::Role> state_roles(const Network& network) {
  std::map<std::string, graph::Role> roles;
  const auto collect = [&](const graph::Graph& graph) {
    for (const graph::ValueInfo& value : graph.values()) {
      if (value.role == graph::Role::parameter || value.role == graph::Role::buffer)
        roles[value.name] = value.role;
    }
  };
  collect(network.eval);
  if (network.train) collect(*network.train);
  return roles;
}

void check_state_names(const Network& network) {
  check_graph(network.eval, network.state);
  if (network.train) check_graph(*network.train, network.state);
}

StateTypes optimizer_slots(const Network& network, const OptimizerOptions& optimizer) {
  check(optimizer);
  if (!network.train) return {};
  compiler::check_groups(optimizer, *network.train);
  if (compiler::slots_of(optimizer).empty()) return {};
  const graph::Graph step = compiler::training_step(*network.train, compiler::StepKind::update, optimizer);
  StateTypes slots;
  for (const graph::ValueId id : step.with_role(graph::Role::buffer)) {
    const graph::ValueInfo& value = step.value(id);
    if (compiler::is_slot(value.name)) slots.push_back({value.name, value.type});
  }
  return slots;
}

StateTypes types_of(const State& state) {
  StateTypes types;
  for (const auto& [name, tensor] : state) types.push_back({name, {tensor.shape(), tensor.dtype()}});
  return types;
}

void check_state(const StateTypes& have, const State& given, DType floats) {
  for (const auto& value : given) {
    const auto& [name, tensor] = value;
    const auto own =
        std::find_if(have.begin(), have.end(), [&](const auto& entry) { return entry.first == value.first; });
    if (own == have.end()) throw ShapeError("the network has no state '" + name + "'");
    const auto& [shape, dtype] = own->second;
    if (!(shape == tensor.shape())) {
      throw ShapeError("'" + name + "': expected " + to_string(shape) + ", got " + to_string(tensor.shape()));
    }
    if (dtype != tensor.dtype() && !(dtype == DType::f32 && tensor.dtype() == floats)) {
      throw ShapeError("'" + name + "': expected " + std::string(name_of(dtype)) + ", got " +
                       std::string(name_of(tensor.dtype())));
    }
  }
}

void check_labels(View<const std::int32_t> labels, const Shape& expected, std::int64_t classes) {
  if (!(labels.shape == expected)) {
    throw ShapeError("expected labels of shape " + to_string(expected) + ", got " + to_string(labels.shape));
  }
  for (const std::int32_t label : labels.span()) {
    if (label < 0 || label >= classes) {
      throw ShapeError(
          "label " + std::to_string(label) + " of a network of " + std::to_string(classes) + " classes",
          "build the network with as many classes as the data has");
    }
  }
}

void advance_count(Tensor& count) {
  if (count.dtype() == DType::i64 && count.shape().rank() == 0) ++count.view<std::int64_t>()[0];
}

}  // namespace resnet::engine

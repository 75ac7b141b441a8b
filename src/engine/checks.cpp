#include "engine/checks.h"

#include <map>
#include <set>

#include "compiler/optimizer.h"
#include "compiler/training.h"
#include "compiler/verify.h"
#include "graph/names.h"

namespace resnet::engine {
namespace {

// What a list of named things has, by name.
template <class Thing>
std::map<std::string_view, const Thing*> by_name(const std::vector<std::pair<std::string, Thing>>& list) {
  std::map<std::string_view, const Thing*> result;
  for (const auto& [name, thing] : list) result.emplace(name, &thing);
  return result;
}

void check_state_of(const graph::Graph& graph, const State& state) {
  const auto tensors = by_name(state);
  for (const graph::ValueInfo& value : graph.values()) {
    if (!graph::is_state(value.role)) continue;
    const auto found = tensors.find(value.name);
    if (found == tensors.end()) throw ShapeError("the network's state lacks '" + value.name + "'");
    const Tensor& tensor = *found->second;
    if (!(tensor.shape() == value.type.shape) || tensor.dtype() != value.type.dtype) {
      throw ShapeError("'" + value.name + "': expected " + to_string(value.type.shape) + ", got " +
                       to_string(tensor.shape()));
    }
  }
}

}  // namespace

std::map<std::string, graph::Role> state_roles(const Network& network) {
  std::map<std::string, graph::Role> roles;
  const auto collect = [&](const graph::Graph& graph) {
    for (const graph::ValueInfo& value : graph.values()) {
      if (graph::is_state(value.role)) roles[value.name] = value.role;
    }
  };
  collect(network.eval);
  if (network.train) collect(*network.train);
  return roles;
}

void check_network(const Network& network) {
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : network.state) {
    if (!names.insert(name).second) throw ShapeError("the network's state has '" + name + "' twice");
    if (graph::is_reserved(name))
      throw ShapeError("the network's state has '" + name + "', a name that engines keep for themselves",
                       "give what an engine remembers to set_state()");
  }
  for (const graph::Graph* graph : {&network.eval, network.train ? &*network.train : nullptr}) {
    if (graph == nullptr) continue;
    compiler::verify(*graph);
    check_state_of(*graph, network.state);
  }
}

void check_gradients(bool called) {
  if (!called) throw ConfigError("there are no gradients yet", "call gradients() first");
}

graph::Graph reshaped(const graph::Graph& graph, const Shape& images) {
  graph::Graph result = graph.reshaped({{graph::kImages, images}});
  compiler::verify(result);
  return result;
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
  const auto types = by_name(have);
  for (const auto& [name, tensor] : given) {
    const auto own = types.find(name);
    if (own == types.end()) throw ShapeError("the network has no state '" + name + "'");
    const auto& [shape, dtype] = *own->second;
    if (!(shape == tensor.shape())) {
      throw ShapeError("'" + name + "': expected " + to_string(shape) + ", got " + to_string(tensor.shape()));
    }
    if (dtype != tensor.dtype() && !(dtype == DType::f32 && tensor.dtype() == floats)) {
      throw ShapeError("'" + name + "': expected " + std::string(name_of(dtype)) + ", got " +
                       std::string(name_of(tensor.dtype())));
    }
  }
}

namespace {

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

}  // namespace

void check_targets(const Targets& targets, std::int64_t examples, std::int64_t classes) {
  const Shape expected{examples};
  check_labels(targets.labels, expected, classes);
  if (targets.mixed() != (targets.mix.data != nullptr))
    throw ShapeError("Targets::mixed_labels and Targets::mix belong together");
  if (!targets.mixed()) return;
  check_labels(targets.mixed_labels, expected, classes);
  if (!(targets.mix.shape == expected)) {
    throw ShapeError("expected Targets::mix of shape " + to_string(expected) + ", got " +
                     to_string(targets.mix.shape));
  }
  for (const float mix : targets.mix.span()) {
    if (!(mix >= 0 && mix <= 1)) throw ShapeError("Targets::mix has a number that is not in [0, 1]");
  }
}

void check_average(bool kept) {
  if (!kept) throw ConfigError("this engine keeps no average", "set OptimizerOptions::average");
}

void check_share(float share, bool any) {
  if (!(share > 0 && share <= 1))
    throw ConfigError("the share of a batch in its gradients is out of range", "give one above 0, at most 1");
  if (share < 1) check_gradients(any);
}

void advance_count(Tensor& count) {
  if (count.dtype() == DType::i64 && count.shape().rank() == 0) ++count.view<std::int64_t>()[0];
}

}  // namespace resnet::engine

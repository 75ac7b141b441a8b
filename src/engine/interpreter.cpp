#include "engine/interpreter.h"

#include <cmath>

#include "base/random.h"
#include "ops/operation.h"

namespace resnet::engine {

using graph::kNone;
using graph::Role;
using graph::ValueId;

namespace {

// Rounding adds up over the nodes of a graph: the sign of a number that is no further from zero than the
// noise of them all is not known.
void disturb(Values& values, double size, std::size_t nodes, const RandomStream& random) {
  double squares = 0;
  for (const double v : values) squares += v * v;
  const double most = size * std::sqrt(squares / static_cast<double>(values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == 0) continue;  // exact in any arithmetic: what a ReLU cut off stays cut off
    if (std::abs(values[i]) < static_cast<double>(nodes) * most) values[i] = -values[i];
    values[i] += most * (2.0 * static_cast<double>(random.word(i)) * 0x1p-32 - 1.0);
  }
}

}  // namespace

NamedValues interpret(const graph::Graph& graph, const NamedValues& inputs, NamedValues& state, Noise noise) {
  const std::size_t count = graph.values().size();
  std::vector<Values> values(count);
  std::vector<int> reads(count, 0);  // that are still to come
  for (const graph::Node& node : graph.nodes()) {
    for (const ValueId id : node.inputs) {
      if (id != kNone) ++reads[static_cast<std::size_t>(id)];
    }
  }
  for (const auto& [name, id] : graph.outputs()) ++reads[static_cast<std::size_t>(id)];
  for (const graph::Update& update : graph.updates()) ++reads[static_cast<std::size_t>(update.value)];
  for (std::size_t i = 0; i < count; ++i) {
    const graph::ValueInfo& value = graph.values()[i];
    if (value.role == Role::input) values[i] = inputs.at(value.name);
    if (graph::is_state(value.role)) {
      // What is only written by an update need not exist yet.
      if (const auto found = state.find(value.name); found != state.end()) values[i] = found->second;
    }
  }
  for (const graph::Node& node : graph.nodes()) {
    const ops::OperandTypes types(node, graph);
    std::vector<View<const double>> in;
    std::vector<View<double>> out;
    for (const ValueId id : node.inputs) {
      if (id == kNone) {
        in.emplace_back();
      } else {
        in.push_back({values[static_cast<std::size_t>(id)].data(), graph.value(id).type.shape});
      }
    }
    for (const ValueId id : node.outputs) {
      if (id == kNone) {
        out.emplace_back();
        continue;
      }
      const graph::ValueType& type = graph.value(id).type;
      Values& result = values[static_cast<std::size_t>(id)];
      result.assign(static_cast<std::size_t>(type.shape.elements()), 0.0);
      out.push_back({result.data(), type.shape});
    }
    ops::operation(node).evaluate(types.signature(), in, out);
    for (const ValueId id : node.outputs) {
      if (id == kNone) continue;
      const graph::ValueType& type = graph.value(id).type;  // not labels, not places of a maximum
      if (noise.size > 0 && type.dtype == DType::f32) {
        disturb(values[static_cast<std::size_t>(id)], noise.size, graph.nodes().size(),
                RandomStream(noise.seed, static_cast<std::uint64_t>(id)));
      }
    }
    for (const ValueId id : node.inputs) {
      if (id != kNone && --reads[static_cast<std::size_t>(id)] == 0)
        Values().swap(values[static_cast<std::size_t>(id)]);
    }
  }
  for (const graph::Update& update : graph.updates()) {
    state[graph.value(update.state).name] = values[static_cast<std::size_t>(update.value)];
  }
  NamedValues outputs;
  for (const auto& [name, id] : graph.outputs()) outputs[name] = values[static_cast<std::size_t>(id)];
  return outputs;
}

}  // namespace resnet::engine

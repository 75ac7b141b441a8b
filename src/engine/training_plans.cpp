#include "engine/training_plans.h"

#include <algorithm>

#include "engine/checks.h"

namespace resnet::engine {

graph::Graph answer_graph(const Network& network, const Shape& images) {
  return reshaped(network.eval, images).without_updates();
}

graph::Graph step_graph(const Network& network, const EngineOptions& options, const Shape& images,
                        compiler::StepKind kind, bool mixed) {
  if (!network.train) throw not_trainable();
  return compiler::training_step(reshaped(*network.train, images), kind, options.optimizer,
                                 {options.loss, mixed});
}

ConfigError not_trainable(const std::string& call) {
  return ConfigError(
      (call.empty() ? "" : call + ": ") + "this network cannot be trained: it was made for inference",
      "build it from its module and load the weights into that");
}

plan::Plan compiled_plan(const graph::Graph& graph, const compiler::Target& target,
                         const plan::StateLayout& layout, const EngineOptions& options) {
  return compiler::compile(graph, target, layout,
                           {.activations = storage_of(options.precision), .fuse = options.fuse});
}

std::vector<CallTime> call_times(const plan::Plan& plan, std::span<const double> seconds) {
  std::vector<CallTime> result;
  for (const plan::Call& call : plan.calls) {
    result.push_back({.op = call.op,
                      .node = call.node,
                      .kernel = std::string(call.kernel->name()),
                      .flops = call.flops,
                      .bytes = static_cast<double>(plan.moved_bytes(call)),
                      .seconds = seconds[result.size()]});
  }
  return result;
}

NonFinite place_of(const plan::Plan& plan, std::size_t number, NonFiniteKind kind) {
  using Place = NonFinite::Place;
  const plan::Call& call = plan.calls[number];
  const bool nan = kind == NonFiniteKind::nan;
  const auto first = static_cast<std::size_t>(call.outputs.at(0).buffer);
  if (plan.buffers[first].region == plan::Region::state) return {Place::update, call.node, {}, nan};
  const int loss = plan.output(compiler::kLossSum)->buffer;
  const bool back = std::any_of(plan.calls.begin(), plan.calls.begin() + static_cast<std::ptrdiff_t>(number),
                                [&](const plan::Call& c) { return c.outputs.at(0).buffer == loss; });
  return {back ? Place::gradient : Place::output, call.node, call.op, nan};
}

}  // namespace resnet::engine

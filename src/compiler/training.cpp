#include "compiler/training.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_set>

#include "compiler/optimizer.h"
#include "compiler/value_index.h"
#include "graph/names.h"
#include "ops/add.h"
#include "ops/average.h"
#include "ops/cross_entropy.h"

namespace resnet::compiler {
namespace {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::Role;
using graph::ValueId;

class Scope final : public ops::GradientScope {
 public:
  Scope(Graph& graph, const std::vector<bool>& wanted, std::vector<ValueId>& gradients, Node node)
      : graph_(graph), wanted_(wanted), gradients_(gradients), node_(std::move(node)) {}

  const Node& node() const override { return node_; }
  const graph::ValueType& type(ValueId id) const override { return graph_.value(id).type; }
  ValueId output_gradient(std::size_t i) const override { return gradients_[at(node_.outputs.at(i))]; }
  bool wants(std::size_t i) const override {
    const ValueId id = node_.inputs.at(i);
    return id != kNone && wanted_[at(id)];
  }
  std::vector<ValueId> emit(graph::Op op, std::vector<ValueId> inputs) override {
    return graph_.add_node(std::move(op), node_.name, std::move(inputs));
  }
  void set(std::size_t i, ValueId gradient) override {
    ValueId& sum = gradients_[at(node_.inputs.at(i))];
    sum = sum == kNone ? gradient : emit(ops::make<ops::Add>(), {sum, gradient})[0];
  }
  bool sums_to_zero(ValueId id) const override {
    const std::int32_t k = graph_.value(id).producer;
    if (k < 0) return false;
    const Node& producer = graph_.nodes()[static_cast<std::size_t>(k)];
    for (std::size_t i = 0; i < producer.outputs.size(); ++i) {
      if (producer.outputs[i] == id) return ops::operation(producer).sums_to_zero(i);
    }
    return false;
  }

 private:
  Graph& graph_;
  const std::vector<bool>& wanted_;
  std::vector<ValueId>& gradients_;
  Node node_;  // a copy: the graph's nodes move while it grows
};

}  // namespace

std::vector<ValueId> differentiate(Graph& graph, ValueId loss, const std::vector<ValueId>& wanted) {
  // Which values depend on a wanted one, and so need a gradient on the way to it.
  std::vector<bool> needed(graph.values().size(), false);
  for (const ValueId id : wanted) needed[at(id)] = true;
  for (const Node& node : graph.nodes()) {
    bool any = false;
    for (const ValueId id : node.inputs) any = any || (id != kNone && needed[at(id)]);
    for (const ValueId id : node.outputs) {
      if (id != kNone) needed[at(id)] = any;
    }
  }

  std::vector<ValueId> gradients(graph.values().size(), kNone);
  const std::int32_t loss_node = graph.value(loss).producer;
  for (std::int32_t i = loss_node; i >= 0; --i) {
    Node node = graph.nodes()[static_cast<std::size_t>(i)];
    const bool reached = i == loss_node || gradients[at(node.outputs.at(0))] != kNone;
    if (!reached || !needed[at(node.outputs.at(0))]) continue;
    const auto& operation = ops::operation(node);
    Scope scope(graph, needed, gradients, std::move(node));
    operation.gradient(scope);
  }

  std::vector<ValueId> result;
  result.reserve(wanted.size());
  for (const ValueId id : wanted) result.push_back(gradients[at(id)]);
  return result;
}

namespace {

// Adds the loss of `logits`, and what a step reports; gives the loss.
ValueId add_loss(Graph& graph, ValueId logits, const LossOfStep& loss) {
  const Shape examples{graph.value(logits).type.shape[0]};
  std::vector<ValueId> operands = {logits, graph.add_input(kLabels, {examples, DType::i32})};
  if (loss.mixed) {
    operands.push_back(graph.add_input(kMixedLabels, {examples, DType::i32}));
    operands.push_back(graph.add_input(kMix, {examples, DType::f32}));
  }
  auto op = ops::make<ops::CrossEntropy>(kernels::CrossEntropyOptions{
      .label_smoothing = loss.options.label_smoothing, .class_weights = loss.options.class_weights});
  const auto outputs = graph.add_node(std::move(op), "loss", std::move(operands));
  graph.add_output(kLossSum, outputs[0]);
  graph.add_output(kCorrect, outputs[1]);
  return outputs[0];
}

// By value, whether the loss depends on it. Parameters of a branch whose result nobody takes are left alone,
// as PyTorch leaves them, whose .grad is None: neither momentum nor weight decay moves them.
std::vector<bool> leading_to(const Graph& graph, ValueId loss) {
  std::vector<bool> leads(graph.values().size(), false);
  leads[at(loss)] = true;
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    const auto is_wanted = [&](ValueId id) { return id != kNone && leads[at(id)]; };
    if (std::ranges::none_of(node->outputs, is_wanted)) continue;
    for (const ValueId id : node->inputs) {
      if (id != kNone) leads[at(id)] = true;
    }
  }
  return leads;
}

}  // namespace

Graph training_step(Graph graph, StepKind kind, const OptimizerOptions& optimizer, const LossOfStep& loss) {
  check_groups(optimizer, graph);
  const ValueId logits = graph.output(graph::kOutput);
  const Shape shape = graph.value(logits).type.shape;
  if (shape.rank() != 2) {
    throw ShapeError("training expects an output [N,classes], got " + to_string(shape),
                     "end the network with Flatten and Linear");
  }
  const ValueId loss_sum = add_loss(graph, logits, loss);

  std::vector<ValueId> parameters = graph.with_role(Role::parameter);
  const std::vector<bool> leads = leading_to(graph, loss_sum);
  std::erase_if(parameters, [&](ValueId id) {
    return !leads[at(id)] || rule_of(optimizer, graph.value(id).name, graph.value(id).type.shape).frozen;
  });
  const std::vector<ValueId> gradients = differentiate(graph, loss_sum, parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (kind == StepKind::update) {
      add_update(graph, optimizer, parameters[i], gradients[i]);
    } else if (gradients[i] != kNone) {
      const std::string name = graph.value(parameters[i]).name;
      const graph::ValueType type = graph.value(parameters[i]).type;
      const ValueId kept = graph.add_state(Role::buffer, gradient_name(name), type);
      ValueId value = gradients[i];
      if (kind == StepKind::means) {
        const ValueId share = graph.add_input(kGradientShare, {Shape{1}, DType::f32});
        value = graph.add_node(ops::make<ops::Average>(), name, {kept, value, share})[0];
      }
      graph.add_update(kept, value);
    }
  }
  if (kind == StepKind::update && optimizer.average) add_averages(graph);
  return graph;
}

Graph apply_step(const Graph& step, const OptimizerOptions& optimizer) {
  Graph graph;
  std::unordered_set<std::string_view> updated;
  for (const graph::Update& update : step.updates()) updated.insert(step.value(update.state).name);
  const std::vector<bool> leads = leading_to(step, step.output(kLossSum));
  for (const ValueId id : step.with_role(Role::parameter)) {
    if (!leads[at(id)]) continue;
    const graph::ValueInfo& parameter = step.value(id);
    const bool kept = updated.contains(gradient_name(parameter.name));
    const ValueId value = graph.add_state(Role::parameter, parameter.name, parameter.type);
    const ValueId gradient =
        kept ? graph.add_state(Role::buffer, gradient_name(parameter.name), parameter.type) : kNone;
    add_update(graph, optimizer, value, gradient);
  }
  if (!optimizer.average) return graph;
  for (const ValueId id : network_state(step)) {
    const graph::ValueInfo& state = step.value(id);
    graph.add_state(state.role, state.name, state.type);
  }
  add_averages(graph);
  return graph;
}

}  // namespace resnet::compiler

namespace resnet {

void check(const LossOptions& options) {
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1))
    throw ConfigError("LossOptions::label_smoothing is out of range", "give a number from 0 to 1");
  bool any = options.class_weights.empty();
  for (const double weight : options.class_weights) {
    if (!std::isfinite(weight) || weight < 0)
      throw ConfigError("LossOptions::class_weights is out of range", "give finite numbers of at least 0");
    any = any || weight > 0;
  }
  if (!any) throw ConfigError("LossOptions::class_weights are all zero", "leave some class to train");
}

}  // namespace resnet

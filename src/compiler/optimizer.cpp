#include "compiler/optimizer.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "graph/names.h"
#include "ops/adamw.h"
#include "ops/average.h"
#include "ops/batch_norm.h"
#include "ops/sgd.h"

namespace resnet::compiler {
namespace {

constexpr const char* kAverage = "average";

using graph::Graph;
using graph::kNone;
using graph::Role;
using graph::ValueId;

// Whether `pattern`, in which * stands for any text, is the whole of `name`.
bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0;
  std::size_t star = std::string_view::npos, taken = 0;  // the last *, and the end of what it stands for
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++taken;
    } else {
      return false;
    }
  }
  return std::all_of(pattern.begin() + static_cast<std::ptrdiff_t>(p), pattern.end(),
                     [](char c) { return c == '*'; });
}

void expect(bool fits, const char* field, const char* wanted) {
  if (!fits) throw ConfigError(std::string(field) + " is out of range", wanted);
}

bool within(double value, double least, double below) {
  return value >= least && value < below;  // not a NaN
}

using Facts = std::vector<std::pair<std::string, std::string>>;

// What follows has an overload for each method, and std::visit compiles only if there is one for all of them:
// its name, whether its options can be, the slots that it has for a parameter, the update of a parameter, the
// momentum that a step may replace, and the options that a checkpoint compares.

std::string name(const SgdOptions&) {
  return "sgd";
}
void check_method(const SgdOptions& sgd) {
  expect(within(sgd.momentum, 0, INFINITY), "SgdOptions::momentum", "give a finite number of at least 0");
  expect(std::isfinite(sgd.dampening), "SgdOptions::dampening", "give a finite number");
  expect(within(sgd.weight_decay, 0, INFINITY), "SgdOptions::weight_decay",
         "give a finite number of at least 0");
  expect(!sgd.nesterov || (sgd.momentum > 0 && sgd.dampening == 0), "SgdOptions::nesterov",
         "Nesterov's momentum needs a momentum above 0 and no dampening");
}
std::vector<std::string> slots(const SgdOptions& sgd) {
  return sgd.momentum > 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>{};
}
graph::Op update(const SgdOptions& sgd, const ParameterRule& rule) {
  return ops::make<ops::Sgd>(kernels::SgdUpdate{.momentum = sgd.momentum > 0,
                                                .nesterov = sgd.nesterov,
                                                .dampening = sgd.dampening,
                                                .weight_decay = rule.weight_decay,
                                                .lr_factor = rule.lr_factor});
}
std::optional<double> momentum(const SgdOptions& sgd) {
  return sgd.momentum > 0 ? std::optional(sgd.momentum) : std::nullopt;
}
Facts facts(const SgdOptions& sgd) {
  return {{"SgdOptions::momentum", fmt::format("{}", sgd.momentum)},
          {"dampening", fmt::format("{}", sgd.dampening)},
          {"SgdOptions::nesterov", sgd.nesterov ? "yes" : "no"},
          {"SgdOptions::weight_decay", fmt::format("{}", sgd.weight_decay)}};
}

std::string name(const AdamWOptions&) {
  return "adamw";
}
void check_method(const AdamWOptions& adamw) {
  // The kernels take it, and eps, as f32.
  expect(within(adamw.beta1, 0, 1) && static_cast<float>(adamw.beta1) < 1, "AdamWOptions::beta1",
         "give a number of at least 0 and, in f32, below 1");
  expect(within(adamw.beta2, 0, 1), "AdamWOptions::beta2", "give a number of at least 0 and below 1");
  expect(ops::is_eps(adamw.eps), "AdamWOptions::eps", "give a number above 0, and finite in f32");
  expect(within(adamw.weight_decay, 0, INFINITY), "AdamWOptions::weight_decay",
         "give a finite number of at least 0");
}
std::vector<std::string> slots(const AdamWOptions&) {
  return {"exp_avg", "exp_avg_sq"};
}
graph::Op update(const AdamWOptions& adamw, const ParameterRule& rule) {
  return ops::make<ops::AdamW>(kernels::AdamWUpdate{.beta2 = adamw.beta2,
                                                    .eps = adamw.eps,
                                                    .weight_decay = rule.weight_decay,
                                                    .lr_factor = rule.lr_factor});
}
std::optional<double> momentum(const AdamWOptions& adamw) {
  return adamw.beta1;
}
Facts facts(const AdamWOptions& adamw) {
  return {{"AdamWOptions::beta1", fmt::format("{}", adamw.beta1)},
          {"AdamWOptions::beta2", fmt::format("{}", adamw.beta2)},
          {"eps of AdamW", fmt::format("{}", adamw.eps)},
          {"AdamWOptions::weight_decay", fmt::format("{}", adamw.weight_decay)}};
}

std::vector<std::string> slots_of_method(const OptimizerOptions& optimizer) {
  return std::visit([](const auto& method) { return slots(method); }, optimizer.method);
}

}  // namespace

std::string slot_name(const std::string& slot, const std::string& parameter) {
  return graph::kSlotState + slot + "/" + parameter;
}

bool is_slot(const std::string& state) {
  return state.starts_with(graph::kSlotState);
}

std::string name_of(const OptimizerOptions& optimizer) {
  return std::visit([](const auto& method) { return name(method); }, optimizer.method);
}

std::optional<double> momentum_of(const OptimizerOptions& optimizer) {
  return std::visit([](const auto& method) { return momentum(method); }, optimizer.method);
}

Facts facts_of(const OptimizerOptions& optimizer) {
  return std::visit([](const auto& method) { return facts(method); }, optimizer.method);
}

ParameterRule rule_of(const OptimizerOptions& optimizer, const std::string& parameter, const Shape& shape) {
  ParameterRule rule;
  rule.weight_decay = std::visit([](const auto& method) { return method.weight_decay; }, optimizer.method);
  if (!optimizer.decay_norms_and_biases && shape.rank() == 1) rule.weight_decay = 0;
  const auto group = std::find_if(optimizer.groups.begin(), optimizer.groups.end(),
                                  [&](const ParameterGroup& g) { return matches(g.names, parameter); });
  if (group == optimizer.groups.end()) return rule;
  rule.lr_factor = group->lr_factor;
  rule.weight_decay *= group->decay_factor;
  rule.frozen = group->frozen;
  return rule;
}

void check_groups(const OptimizerOptions& optimizer, const Graph& graph) {
  const std::vector<ValueId> parameters = graph.with_role(Role::parameter);
  for (const ParameterGroup& group : optimizer.groups) {
    const bool found = std::any_of(parameters.begin(), parameters.end(),
                                   [&](ValueId id) { return matches(group.names, graph.value(id).name); });
    if (!found) {
      throw ConfigError("no parameter is called '" + group.names + "'",
                        "ParameterGroup::names are those of PyTorch, with * for any text");
    }
  }
  const bool all_frozen = std::all_of(parameters.begin(), parameters.end(), [&](ValueId id) {
    return rule_of(optimizer, graph.value(id).name, graph.value(id).type.shape).frozen;
  });
  if (all_frozen && !parameters.empty())
    throw ConfigError("all parameters are frozen", "leave some to train");
}

std::vector<std::string> slots_of(const OptimizerOptions& optimizer) {
  std::vector<std::string> all = slots_of_method(optimizer);
  if (optimizer.average) all.emplace_back(kAverage);
  return all;
}

void add_update(Graph& graph, const OptimizerOptions& optimizer, ValueId parameter, ValueId gradient) {
  const std::string name = graph.value(parameter).name;
  const graph::ValueType type = graph.value(parameter).type;
  const ParameterRule rule = rule_of(optimizer, name, type.shape);
  if (rule.frozen || (gradient == kNone && rule.weight_decay == 0)) return;
  const std::vector<std::string> slots = slots_of_method(optimizer);
  const Shape step{kernels::StepValue::read(!slots.empty())};
  std::vector<ValueId> inputs = {parameter, gradient, graph.add_input(kStepInputs, {step, DType::f32})};
  std::vector<ValueId> updated = {parameter};
  for (const std::string& slot : slots) {
    inputs.push_back(graph.add_state(Role::buffer, slot_name(slot, name), type));
    updated.push_back(inputs.back());
  }
  graph::Op op = std::visit([&](const auto& method) { return update(method, rule); }, optimizer.method);
  const std::vector<ValueId> outputs = graph.add_node(std::move(op), name, std::move(inputs));
  for (std::size_t i = 0; i < updated.size(); ++i) graph.add_update(updated[i], outputs.at(i));
}

std::string average_name(const std::string& state) {
  return slot_name(kAverage, state);
}

bool is_average(const std::string& state) {
  return state.starts_with(average_name(""));
}

std::vector<ValueId> network_state(const Graph& graph) {
  std::vector<ValueId> state;
  for (const Role role : {Role::parameter, Role::buffer}) {
    for (const ValueId id : graph.with_role(role))
      if (!graph::is_reserved(graph.value(id).name)) state.push_back(id);
  }
  return state;
}

void add_averages(Graph& graph) {
  struct Averaged {
    ValueId state, value;
  };
  std::vector<Averaged> all;
  for (const ValueId id : network_state(graph))
    if (graph.value(id).type.dtype == DType::f32) all.push_back({id, id});
  for (const graph::Update& update : graph.updates()) {
    const auto found = std::ranges::find(all, update.state, &Averaged::state);
    if (found != all.end()) found->value = update.value;
  }
  const ValueId share = graph.add_input(kAverageShare, {Shape{1}, DType::f32});
  for (const auto& [state, value] : all) {
    const std::string name = graph.value(state).name;
    const ValueId average = graph.add_state(Role::buffer, average_name(name), graph.value(state).type);
    graph.add_update(average, graph.add_node(ops::make<ops::Average>(), name, {average, value, share})[0]);
  }
}

std::array<double, kernels::StepValue::count> step_values(const OptimizerOptions& optimizer,
                                                          const StepInputs& inputs, std::int64_t update) {
  const std::optional<double> own = momentum_of(optimizer);
  if (!own && inputs.momentum) {
    throw ConfigError("StepInputs::momentum for an optimiser without momentum",
                      "give SgdOptions::momentum a value above 0");
  }
  if (!(inputs.average_share >= 0 && inputs.average_share <= 1))
    throw ConfigError("StepInputs::average_share is out of range", "give a share from 0 to 1");
  if (!optimizer.average && inputs.average_share != 0) {
    throw ConfigError("StepInputs::average_share for an optimiser that keeps none",
                      "set OptimizerOptions::average");
  }
  std::array<double, kernels::StepValue::count> values{};
  values[kernels::StepValue::lr] = static_cast<double>(inputs.lr);
  values[kernels::StepValue::momentum] =
      inputs.momentum ? static_cast<double>(*inputs.momentum) : own.value_or(0);
  values[kernels::StepValue::update] = static_cast<double>(update);
  return values;
}

}  // namespace resnet::compiler

namespace resnet {

void check(const OptimizerOptions& options) {
  std::visit([](const auto& method) { compiler::check_method(method); }, options.method);
  for (const ParameterGroup& group : options.groups) {
    compiler::expect(compiler::within(group.lr_factor, 0, INFINITY), "ParameterGroup::lr_factor",
                     "give a finite number of at least 0");
    compiler::expect(compiler::within(group.decay_factor, 0, INFINITY), "ParameterGroup::decay_factor",
                     "give a finite number of at least 0");
  }
}

}  // namespace resnet

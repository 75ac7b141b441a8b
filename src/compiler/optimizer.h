// Turns an optimiser's options into operations of a graph.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/optimizer/optimizer.h"
#include "resnet/graph.h"
#include "resnet/optimizer.h"

namespace resnet::compiler {

/// The input of a graph that updates: f32, the first of step_values() that its optimiser reads.
inline constexpr const char* kStepInputs = "step_inputs";

/// The input of a graph that averages: StepInputs::average_share, f32 [1].
inline constexpr const char* kAverageShare = "average_share";

/// What slots are called: slot_name("exp_avg", "7.weight") is "optimizer/exp_avg/7.weight".
std::string slot_name(const std::string& slot, const std::string& parameter);
/// Whether a state value is a slot.
bool is_slot(const std::string& state);

/// What settings and results call the method: "sgd", "adamw".
std::string name_of(const OptimizerOptions& optimizer);

/// The momentum that StepInputs::momentum replaces; none if the optimiser has none.
std::optional<double> momentum_of(const OptimizerOptions& optimizer);

/// The method's options as texts, by name: a run that goes on from a checkpoint must have the same.
std::vector<std::pair<std::string, std::string>> facts_of(const OptimizerOptions& optimizer);

/// What an optimiser does with one parameter. Throws ConfigError for options that cannot be.
struct ParameterRule {
  double lr_factor = 1;
  double weight_decay = 0;
  bool frozen = false;
};
ParameterRule rule_of(const OptimizerOptions& optimizer, const std::string& parameter, const Shape& shape);

/// Throws ConfigError if a group names no parameter of the graph, or all of them are frozen.
void check_groups(const OptimizerOptions& optimizer, const graph::Graph& graph);

/// The slots that the optimiser has for each parameter that it updates: "momentum_buffer", …; "average" is one,
/// which all of the network's f32 state has.
std::vector<std::string> slots_of(const OptimizerOptions& optimizer);

/// Adds the update of one parameter by its gradient (kNone: zero by algebra; what stays as it is then gets no
/// node).
void add_update(graph::Graph& graph, const OptimizerOptions& optimizer, graph::ValueId parameter,
                graph::ValueId gradient);

/// Where a value of the network's state has its average: slot_name("average", state). Whether a state value is
/// one.
std::string average_name(const std::string& state);
bool is_average(const std::string& state);

/// What a graph has of the network's own state: parameters, then running statistics and counts.
std::vector<graph::ValueId> network_state(const graph::Graph& graph);

/// Adds averages of all of the network's f32 state in a graph, as its updates leave it.
void add_averages(graph::Graph& graph);

/// What changes from step to step, at update number `update`, from 1. Throws ConfigError for a momentum or
/// an average that the optimiser does not have, or a share that cannot be.
std::array<double, kernels::StepValue::count> step_values(const OptimizerOptions& optimizer,
                                                          const StepInputs& inputs, std::int64_t update);

}  // namespace resnet::compiler

// Turns a network's graph into the graph of a training step.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "graph/names.h"
#include "resnet/graph.h"
#include "resnet/loss.h"
#include "resnet/optimizer.h"

namespace resnet::compiler {

/// Appends the gradient of `loss` to the graph, by the chain rule in reverse order of the nodes.
/// Gives for each value of `wanted` its gradient, or kNone where it is zero by algebra (nothing
/// depends on it, or a bias in front of a batch norm).
std::vector<graph::ValueId> differentiate(graph::Graph& graph, graph::ValueId loss,
                                          const std::vector<graph::ValueId>& wanted);

enum class StepKind : std::uint8_t {
  update,     // forward, backward, update
  gradients,  // forward and backward; gradients are kept as buffers "gradient/<parameter>"
  means,      // the same, where what is kept moves towards them by kGradientShare
};

/// Names of what a step takes and gives beside the network's own (graph/names.h).
inline constexpr const char* kLabels = "labels";
inline constexpr const char* kMixedLabels = "mixed_labels";  // both where examples are mixed alone
inline constexpr const char* kMix = "mix";
inline constexpr const char* kGradientShare = "gradient_share";  // f32 [1], of a step of kind means
inline constexpr const char* kLossSum = "loss_sum";
inline constexpr const char* kCorrect = "correct";

/// The state that keeps the gradient of a parameter between gradients() and apply().
inline std::string gradient_name(const std::string& parameter) {
  return graph::kGradientState + parameter;
}

/// What a step minimises.
struct LossOfStep {
  LossOptions options = {};
  bool mixed = false;  // whether the step takes second labels
};

/// The step of a network traced in train mode: its output [N,classes], softmax cross-entropy of the
/// targets, gradients, updates. Frozen parameters have neither, nor do those that the loss does not depend
/// on. Throws ShapeError if the output is not [N,classes] or has not as many classes as the loss has weights,
/// ConfigError if the optimiser's groups do not fit the network.
graph::Graph training_step(graph::Graph network, StepKind kind, const OptimizerOptions& optimizer = {},
                           const LossOfStep& loss = {});

/// Updates every parameter that training_step() would, with the gradients that `step` (of kind gradients or
/// means) keeps.
graph::Graph apply_step(const graph::Graph& step, const OptimizerOptions& optimizer = {});

}  // namespace resnet::compiler

// Optimisers: how parameters follow their gradients. An optimiser is part of a step's graph: its updates are
// operations, and what it remembers of a parameter are buffers, slots, `optimizer/<slot>/<parameter>`.
// Parameters that the loss does not depend on do not even decay; a bias in front of a batch norm, whose
// gradient is zero, does.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace resnet {

/// Stochastic gradient descent. With g = gradient + weight_decay * p:
///   b = momentum * b + (1 - dampening) * g      (b = g in the first update)
///   p = p - lr * b, with Nesterov's momentum p - lr * (g + momentum * b)
/// Without momentum b is g. Slot, with momentum alone: momentum_buffer.
/// Source: torch.optim.SGD; Sutskever et al., "On the importance of initialization and momentum in deep
/// learning", 2013.
struct SgdOptions {
  double momentum = 0;  // 0: none
  double dampening = 0;
  bool nesterov = false;
  double weight_decay = 0;
};

/// Adam with decoupled weight decay. In update t, counted from 1:
///   m = beta1 * m + (1 - beta1) * g
///   v = beta2 * v + (1 - beta2) * g^2
///   p = (1 - lr * weight_decay) * p - lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
/// Slots: exp_avg (m), exp_avg_sq (v).
/// Source: torch.optim.AdamW; Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
};

/// What some parameters do otherwise.
struct ParameterGroup {
  std::string names;        // of parameters; * stands for any text: "0.*", "*.bias"
  double lr_factor = 1;     // times the step's learning rate
  double decay_factor = 1;  // times the optimiser's weight decay
  bool frozen = false;      // neither gradient nor update; running statistics do advance
};

struct OptimizerOptions {
  std::variant<SgdOptions, AdamWOptions> method = SgdOptions{};
  bool decay_norms_and_biases = true;       // false: no weight decay of parameters of one axis
  std::vector<ParameterGroup> groups = {};  // the first that names a parameter counts for it
  // Keeps an average of the network's state: of parameters and running statistics, in slots of their own,
  // `optimizer/average/<name>`. StepInputs::average_share moves it, Engine::swap_average() shows it.
  bool average = false;
};

/// What may change from one step to the next without compiling anew.
struct StepInputs {
  float lr = 0;                        // learning rate
  std::optional<float> momentum = {};  // in place of SgdOptions::momentum or AdamWOptions::beta1
  float average_share = 0;  // from 0 to 1, of the state after the update in its average a, which becomes
                            // a + share * (state - a); 1 copies, 0 leaves it. OptimizerOptions::average
};

/// Throws ConfigError for options that no optimiser can have, such as Nesterov's without momentum or with
/// dampening. An engine also refuses a group that names no parameter, and a network without a free one.
void check(const OptimizerOptions& options);

}  // namespace resnet

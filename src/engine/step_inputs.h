// What a plan is filled with besides its images. `write(slot, from)` fills an input from as many bytes as it
// has.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "compiler/optimizer.h"
#include "compiler/training.h"
#include "graph/names.h"
#include "plan/plan.h"
#include "resnet/engine.h"

namespace resnet::engine {

/// What dropout draws its numbers from.
struct SeedStep {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
};

/// Does nothing where the plan does not ask for it.
template <class Write>
void write_seed(const plan::Plan& plan, const SeedStep& seed_step, const Write& write) {
  if (const plan::Slot* slot = plan.input(graph::kSeedStep)) {
    const std::array<std::int64_t, 2> stored = {static_cast<std::int64_t>(seed_step.seed), seed_step.step};
    write(*slot, stored.data());
  }
}

/// What changes from update to update: `update` counts from 1.
template <class Write>
void write_update(const plan::Plan& plan, const OptimizerOptions& optimizer, const StepInputs& inputs,
                  std::int64_t update, const Write& write) {
  const auto values = compiler::step_values(optimizer, inputs, update);
  std::array<float, kernels::StepValue::count> stored{};
  std::ranges::transform(values, stored.begin(), [](double value) { return static_cast<float>(value); });
  if (const plan::Slot* slot = plan.input(compiler::kStepInputs)) write(*slot, stored.data());
  if (const plan::Slot* slot = plan.input(compiler::kAverageShare)) write(*slot, &inputs.average_share);
}

/// That of a batch in the gradients that are kept.
template <class Write>
void write_share(const plan::Plan& plan, float share, const Write& write) {
  if (const plan::Slot* slot = plan.input(compiler::kGradientShare)) write(*slot, &share);
}

template <class Write>
void write_targets(const plan::Plan& plan, const Targets& targets, const Write& write) {
  write(*plan.input(compiler::kLabels), targets.labels.data);
  if (!targets.mixed()) return;
  write(*plan.input(compiler::kMixedLabels), targets.mixed_labels.data);
  write(*plan.input(compiler::kMix), targets.mix.data);
}

}  // namespace resnet::engine

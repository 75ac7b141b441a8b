// What is known of a step that is not finite, and what is said of it.
#pragma once

#include <cstdint>
#include <optional>

#include "train/checkpoint.h"

namespace resnet::train {

/// Of FitOptions::on_nan.
inline constexpr std::int64_t kMostSkipped = 10;  // in a row
inline constexpr std::int64_t kMostRollbacks = 5;

/// Throws Error that names the first value of the state that is not finite.
void check_finite(const Engine& engine);

/// The first such value after a step.
std::optional<NonFinite> left_by_step(const Engine& engine);

/// Of the batch that comes after `run`, whose mean loss is `loss`, of `size` training examples.
Diagnosis diagnosis_of(const RunState& run, double loss, const StepInputs& inputs, std::int64_t batch_size,
                       const data::Order& order, std::int64_t size);

/// Half the rate for each time that the run went back.
StepInputs slowed(StepInputs inputs, std::int64_t rollbacks);

/// A run that went bad goes back to a checkpoint of fewer steps than this: where the last one led to the same
/// step again, to one before that.
std::int64_t back_before(const RunState& run);
/// What the state that a run goes back to learns `from` where it went bad.
void count_rollback(RunState& to, const RunState& from);

/// What a run that ends at such a step throws.
Error nonfinite_error(const Diagnosis& diagnosis, OnNan policy);

}  // namespace resnet::train

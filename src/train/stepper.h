// One optimiser step from one batch or several, with its gradients clipped.
#pragma once

#include "resnet/train.h"

namespace resnet::train {

/// The targets of a loader's batch.
Targets targets_of(const data::Batch& batch);

class Stepper {
 public:
  Stepper(std::int64_t accumulate, double clip_norm) : accumulate_(accumulate), clip_norm_(clip_norm) {}

  /// Takes a batch: the whole step, or a part of one. `last`: the epoch ends with it, and so does its step.
  StepResult take(Engine& engine, const data::Batch& batch, const StepInputs& inputs, bool last);
  /// Whether the batch taken last ended a step.
  bool stepped() const noexcept { return batches_ == 0; }

 private:
  void add(const std::vector<GradientSpan>& spans, double examples);
  void finish(const std::vector<GradientSpan>& spans);

  std::int64_t accumulate_;
  double clip_norm_;
  std::int64_t batches_ = 0;  // of the step so far
  double examples_ = 0;
  std::vector<std::vector<float>> sums_;  // of gradients times examples
};

}  // namespace resnet::train

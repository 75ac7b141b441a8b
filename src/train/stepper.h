// One optimiser step from one batch or several, with its gradients clipped.
#pragma once

#include <deque>

#include "train/feed.h"

namespace resnet::train {

/// The targets of a loader's batch.
Targets targets_of(const data::Batch& batch);

/// What came of a batch.
struct BatchOutcome {
  StepResult result = {};
  bool finite = true;  // its loss, and all that its step left behind
  StepInputs inputs = {};
  std::int64_t size = 0;            // examples
  bool begins = true, ends = true;  // a step
};

class Stepper {
 public:
  Stepper(std::int64_t accumulate, double clip_norm) : accumulate_(accumulate), clip_norm_(clip_norm) {}

  /// Takes a batch: the whole step, or a part of one. `last`: the epoch ends with it, and so does its step.
  StepResult take(Engine& engine, const data::Batch& batch, const StepInputs& inputs, bool last);
  /// Whether the batch taken last ended a step.
  bool stepped() const noexcept { return batches_ == 0; }

  /// The same in two halves, between which `depth` batches may be under way, each a whole step: on engines
  /// that can be ahead of their results. On others one, and what it takes is done at once.
  std::int64_t depth(Engine& engine) const;
  void submit(Engine& engine, const FedBatch& batch, const StepInputs& inputs, bool last);
  /// What came of the oldest.
  BatchOutcome collect(Engine& engine);
  std::int64_t under_way() const noexcept { return std::ssize(under_way_); }
  /// Waits for those under way, whatever comes of them.
  void drop(Engine& engine);

 private:
  bool ahead(Engine& engine) const {
    return accumulate_ == 1 && clip_norm_ == 0 && ahead_of(engine) != nullptr;
  }
  std::int64_t accumulate_;
  double clip_norm_;
  std::int64_t batches_ = 0;  // of the step so far
  double examples_ = 0;       // in them
  struct UnderWay {
    BatchOutcome outcome;
    engine::AheadEngine::Ticket ticket = 0;  // where the engine is ahead
  };
  std::deque<UnderWay> under_way_;
};

}  // namespace resnet::train

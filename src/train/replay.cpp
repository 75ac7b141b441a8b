#include "train/replay.h"

#include "base/clock.h"
#include "train/diagnosis.h"

namespace resnet::train {
namespace {

using Steady = std::chrono::steady_clock;

constexpr double kWorth = 1000;  // copies take at most one part in 1000 of the time

}  // namespace

void Replay::keep(const Engine& engine, std::int64_t epoch, std::int64_t batch) {
  const auto begin = Steady::now();
  state_.clear();  // released before the new copy is made
  state_ = engine.state(StateScope::all);
  epoch_ = epoch;
  batch_ = batch;
  inputs_.clear();
  step_ = 0;
  kept_at_ = Steady::now();
  cost_ = seconds_since(begin);
}

bool Replay::due() const {
  return seconds_since(kept_at_) >= kWorth * cost_;
}

void Replay::note(const StepInputs& inputs, bool first) {
  if (first) step_ = inputs_.size();
  inputs_.push_back(inputs);
}

const data::Batch& Replay::next() {
  if (at_batch_ == loader_.batches()) {
    ++at_epoch_;
    at_batch_ = 0;
    loader_.start(order_, at_epoch_);
  }
  ++at_batch_;
  return *loader_.next();
}

Replay::Found Replay::back(Engine& engine, std::int64_t after) {
  Found found;
  if (after == 0) found.left = left_by_step(engine);
  inputs_.resize(inputs_.size() - static_cast<std::size_t>(after));
  step_ -= static_cast<std::size_t>(after);  // each is a step
  engine.set_state(state_);
  forget();  // what follows makes copies that need its memory; the next keep() makes it anew
  at_epoch_ = epoch_;
  at_batch_ = batch_;
  loader_.start(order_, at_epoch_, at_batch_);
  Stepper stepper(options_.accumulate, options_.clip_norm);
  for (std::size_t i = 0; i < step_; ++i) {
    const data::Batch& batch = next();
    stepper.take(engine, batch, inputs_[i], at_batch_ == loader_.batches());
  }
  const State before = engine.state(StateScope::all);
  found.first = look(engine);
  engine.set_state(before);
  if (after == 0) return found;
  // The engine is beyond the step: it is taken once more.
  loader_.start(order_, at_epoch_, at_batch_ - 1);
  stepper.take(engine, *loader_.next(), inputs_.back(), true);
  found.left = left_by_step(engine);
  engine.set_state(before);
  return found;
}

// Takes the step once more. Of all of its batches but the last the step has the gradients, and no update.
std::optional<NonFinite> Replay::look(Engine& engine) {
  for (std::size_t i = step_; i + 1 < inputs_.size(); ++i) {
    const data::Batch& batch = next();
    const State before = engine.state(StateScope::all);
    const auto found = engine.find_nonfinite(batch.view(), targets_of(batch), inputs_[i]);
    if (found && found->place != NonFinite::Place::update) return found;
    engine.set_state(before);
    engine.gradients(batch.view(), targets_of(batch));
  }
  const data::Batch& batch = next();
  return engine.find_nonfinite(batch.view(), targets_of(batch), inputs_.back());
}

}  // namespace resnet::train

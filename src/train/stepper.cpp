#include "train/stepper.h"

#include <array>
#include <cmath>

namespace resnet::train {
namespace {

// In double, in eight sums that are added in order: the same bits everywhere.
double sum_of_squares(std::span<const float> values) {
  constexpr std::size_t kSums = 8;
  std::array<double, kSums> sums{};
  std::size_t i = 0;
  for (; i + kSums <= values.size(); i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) {
      const auto v = static_cast<double>(values[i + k]);
      sums[k] += v * v;
    }
  }
  double sum = 0;
  for (; i < values.size(); ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  for (const double part : sums) sum += part;
  return sum;
}

// Bounds the norm of all of them.
void clip(const std::vector<GradientSpan>& spans, double norm) {
  double squares = 0;
  for (const GradientSpan& span : spans) squares += sum_of_squares(span.values);
  const double factor = norm / (std::sqrt(squares) + 1e-6);
  if (!(factor < 1)) return;
  for (const GradientSpan& span : spans) {
    for (float& value : span.values) value *= static_cast<float>(factor);
  }
}

}  // namespace

Targets targets_of(const data::Batch& batch) {
  Targets targets(batch.labels.view<std::int32_t>());
  if (batch.mixed_labels.empty()) return targets;
  return {targets.labels, batch.mixed_labels.view<std::int32_t>(), batch.mix.view<float>()};
}

StepResult Stepper::take(Engine& engine, const data::Batch& batch, const StepInputs& inputs, bool last) {
  if (accumulate_ == 1 && clip_norm_ == 0) return engine.step(batch.view(), targets_of(batch), inputs);
  const auto size = static_cast<double>(batch.size());
  examples_ += size;
  const StepResult result =
      engine.gradients(batch.view(), targets_of(batch), static_cast<float>(size / examples_));
  ++batches_;
  if (batches_ < accumulate_ && !last) return result;
  if (clip_norm_ > 0) clip(engine.gradient_spans(), clip_norm_);
  engine.apply(inputs);
  batches_ = 0;
  examples_ = 0;
  return result;
}

std::int64_t Stepper::depth(Engine& engine) const {
  return ahead(engine) ? ahead_of(engine)->depth() : 1;
}

void Stepper::submit(Engine& engine, const FedBatch& batch, const StepInputs& inputs, bool last) {
  UnderWay next{.outcome = {.inputs = inputs, .size = batch.size(), .begins = stepped()}};
  BatchOutcome& outcome = next.outcome;
  if (!ahead(engine)) {
    outcome.result = take(engine, *batch.made, inputs, last);
    outcome.ends = stepped();
    outcome.finite = std::isfinite(outcome.result.loss_sum) && (!outcome.ends || engine.finite());
  } else if (batch.made == nullptr) {
    next.ticket = ahead_of(engine)->submit(batch.held, inputs);
  } else {
    next.ticket = ahead_of(engine)->submit(batch.made->view(), targets_of(*batch.made), inputs);
  }
  under_way_.push_back(next);
}

BatchOutcome Stepper::collect(Engine& engine) {
  UnderWay oldest = under_way_.front();
  under_way_.pop_front();
  if (!ahead(engine)) return oldest.outcome;
  const engine::Outcome answer = ahead_of(engine)->collect(oldest.ticket);
  oldest.outcome.result = answer.result;
  oldest.outcome.finite = std::isfinite(answer.result.loss_sum) && answer.finite;
  return oldest.outcome;
}

void Stepper::drop(Engine& engine) {
  while (!under_way_.empty()) collect(engine);
}

}  // namespace resnet::train

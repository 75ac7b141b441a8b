// The chapter's training loop: running train-mode averages, evaluation once an epoch, steps that are timed.
#include <limits>
#include <utility>

#include "train/diagnosis.h"
#include "train/run.h"

namespace resnet::train {
namespace {

// Without figures where all steps of the epoch so far were left out: nothing was measured.
Progress told_of(const RunState& run) {
  Progress progress = run.progress;
  if (progress.examples == 0) progress.loss = progress.train_acc = kNotMeasured;
  return progress;
}

}  // namespace

bool Run::run_epoch() {
  epoch_rate_ = Rate(std::numeric_limits<double>::infinity());
  const std::int64_t batches = loader_.batches(), every = std::max<std::int64_t>(1, batches / 5);  // points
  feed_->start(order_, at_.progress.epoch, at_.progress.batch);
  while (submit()) {
    if (!collect_batch()) return false;
    const bool last = at_.progress.batch == batches;
    for (const auto& observer : options_.observers) observer->on_step(told_of(at_));
    if (!last && !at_its_end() && at_.progress.batch % every == 0) emit_point(-1);
    if (time_ && stepper_.stepped() && !last && !stopped())
      replan(time_->look(clock_(), submitted_steps(), schedule_->steps()));
    if (!stepper_.stepped() || stepper_.under_way() > 0) continue;  // the engine is not where the run is
    if (keeper_ && !last && !stopped() && keeper_->due(at_.steps)) keep();
    if (replay_.due()) replay_.keep(*engine_, at_.progress.epoch, at_.progress.batch);
  }
  if (at_.progress.batch == batches) at_.epochs = at_.progress.epoch + 1;
  if (interrupted() || at_.progress.batch == 0) return true;
  if (!finish_epoch()) return true;
  if (at_.progress.batch == batches) begin_epoch(at_.progress.epoch + 1);
  if (keeper_ && !stopped() && keeper_->due_after_epoch(at_.steps)) keep();
  return true;
}

bool Run::finish_epoch() {
  if (time_ && !stopped() && options_.patience == 0 && !time_->may_evaluate(clock_())) {
    end_epoch(-1);
    replan(time_->look(clock_(), at_.steps, schedule_->steps()));
    return true;
  }
  const double begin = clock_();
  if (!evaluate_epoch()) return false;
  if (time_ && !stopped()) replan(time_->evaluated(begin, clock_(), at_.steps, schedule_->steps()));
  return true;
}

bool Run::may_submit() {
  if (stepper_.under_way() == 0) return !(stepper_.stepped() && stopped());
  const std::int64_t steps = submitted_steps();
  return stepper_.under_way() < stepper_.depth(*engine_) && !interrupted() && steps < schedule_->steps() &&
         !(keeper_ && keeper_->due(steps)) && !replay_.due();
}

StepInputs Run::next_inputs() const {
  const std::int64_t steps = submitted_steps();
  StepInputs inputs = slowed(schedule_->at(steps), at_.rollbacks);
  const std::int64_t updates = at_.averages + average_updates(options_.average, at_.steps, steps);
  inputs.average_share = average_share(options_.average, steps + 1, updates);
  return inputs;
}

bool Run::submit() {
  while (may_submit()) {
    const FedBatch* batch = feed_->next();
    if (batch == nullptr) break;
    if (stepper_.under_way() == 0) since_ = clock_();
    const StepInputs inputs = next_inputs();
    replay_.note(inputs, stepper_.stepped());
    const std::int64_t number = at_.progress.batch + stepper_.under_way();
    stepper_.submit(*engine_, *batch, inputs, number + 1 == loader_.batches());
  }
  return stepper_.under_way() > 0;
}

bool Run::collect_batch() {
  const BatchOutcome outcome = stepper_.collect(*engine_);
  if (outcome.begins) step_begin_ = static_cast<const Counted&>(at_);
  if (!outcome.finite) return handle_nonfinite(outcome);
  if (outcome.ends) {
    at_.skipped_in_row = 0;
    ++at_.steps;
    at_.averages += average_updates(options_.average, at_.steps - 1, at_.steps);
    if (time_) time_->count();
  }
  const double now = clock_(), seconds = now - std::exchange(since_, now);
  epoch_rate_.add(outcome.size, seconds);
  recent_.add(outcome.size, seconds);
  at_.seconds += seconds;
  count_batch(at_, outcome.result, outcome.size, outcome.inputs.lr);
  at_.progress.examples_per_second = epoch_rate_.value();
  at_.progress.recent_examples_per_second = recent_.value();
  at_.measured = at_.progress;
  return true;
}

bool Run::handle_nonfinite(const BatchOutcome& outcome) {
  const double loss = outcome.result.loss_sum / static_cast<double>(outcome.size);
  Diagnosis d = diagnosis_of(at_, loss, outcome.inputs, options_.batch_size, order_, train_.size());
  const std::int64_t after = stepper_.under_way();
  stepper_.drop(*engine_);
  const Replay::Found found = replay_.back(*engine_, after);
  d.left = found.left;
  d.first = found.first;
  stepper_ = Stepper(options_.accumulate, options_.clip_norm);
  if (options_.on_nan == OnNan::skip && at_.skipped_in_row < kMostSkipped) {
    leave_out(d);
    return true;
  }
  const bool again = options_.on_nan == OnNan::rollback && at_.rollbacks < kMostRollbacks;
  d.rollbacks += again ? 1 : 0;
  d.outcome = again ? "rollback" : "stop";
  for (const auto& observer : options_.observers) observer->on_nonfinite(d);
  if (again) return false;
  throw nonfinite_error(d, options_.on_nan);
}

void Run::leave_out(Diagnosis& d) {
  ++at_.skipped;
  ++at_.skipped_in_row;
  ++at_.steps;
  static_cast<Counted&>(at_) = step_begin_;  // without what its first batches added
  at_.progress.batch += std::min(options_.accumulate, loader_.batches() - at_.progress.batch);
  at_.progress.step = at_.steps;
  at_.progress.lr = d.lr;
  feed_->start(order_, at_.progress.epoch, at_.progress.batch);
  replay_.keep(*engine_, at_.progress.epoch, at_.progress.batch);
  d.skipped = at_.skipped;
  d.outcome = "skip";
  for (const auto& observer : options_.observers) observer->on_nonfinite(d);
}

Evaluation Run::evaluated(const data::Dataset& set, Views views, const Progress& at) {
  const auto tell = [&](std::int64_t tested) {
    for (const auto& observer : options_.observers) observer->on_evaluation(at, tested, set.size());
  };
  tell(0);
  return evaluate(*engine_, set,
                  {.batch_size = options_.batch_size,
                   .views = views,
                   .loader_threads = options_.loader_threads,
                   .prefetch = prefetch_,
                   .stop = options_.stop,
                   .seen = tell});
}

void Run::test(const State& state) {
  if (!options_.validation || interrupted() || at_.evaluated_at != at_.steps) return;
  engine_->set_state(state);
  const Evaluation evaluation = evaluated(test_, options_.views, at_.measured);
  if (evaluation.examples == test_.size()) tested_ = evaluation.finite ? evaluation.test_acc : kNotMeasured;
}

bool Run::evaluate_epoch() {
  show_average();
  const Views views = stopped() ? options_.views : views_between(options_);
  const Evaluation evaluation = evaluated(watched(), views, told_of(at_));
  const double accuracy = evaluation.finite ? evaluation.test_acc : -1;  // as an evaluation that there is not
  if (options_.patience > 0 && evaluation.examples == watched().size() && accuracy > at_.best_acc) {
    at_.best_acc = accuracy;
    at_.best_epoch = at_.progress.epoch + 1;
    best_ = engine_->state();
  }
  hide_average();
  if (evaluation.examples < watched().size()) return false;
  comparable_ = views == views_between(options_);
  at_.test_acc = accuracy;
  at_.evaluated_at = at_.steps;
  end_epoch(at_.test_acc);
  return true;
}

void Run::end_epoch(double test_acc) {
  emit_point(test_acc);
  for (const auto& observer : options_.observers) observer->on_epoch(told_of(at_), test_acc);
}

void Run::emit_point(double test_acc) {
  const double x = static_cast<double>(at_.progress.epoch) +
                   static_cast<double>(at_.progress.batch) / static_cast<double>(loader_.batches());
  const Progress told = told_of(at_);
  const CurvePoint point{x, told.loss, told.train_acc, test_acc};
  at_.curve.push_back(point);
  for (const auto& observer : options_.observers) observer->on_point(point);
}

}  // namespace resnet::train

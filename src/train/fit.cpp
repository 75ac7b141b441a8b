// A run from its beginning to its end; what happens in an epoch is in epoch.cpp.
#include <algorithm>
#include <utility>

#include "compiler/optimizer.h"
#include "io/model_hash.h"
#include "train/diagnosis.h"
#include "train/memory.h"
#include "train/run.h"

namespace resnet {
namespace train {

Run::Run(nn::Module& net, const data::Dataset& train, const data::Dataset& test, const FitOptions& options)
    : net_(net),
      train_(train),
      test_(test),
      options_(options),
      order_(order_of(options, train)),
      loader_(train, loader_options(options)),
      stepper_(options.accumulate, options.clip_norm),
      replay_(options, loader_, order_) {
  check_batches(net, train, options.batch_size, options.drop_last);
  check_parameters(net, options.engine.memory);
  nn::init_unset(net, net.scheme(), options.seed);
  if (!options.checkpoints.folder.empty())
    keeper_.emplace(options.checkpoints, loader_.batches(), options.accumulate);
  make_engine();
  prefetch_ = fit_into_memory(options, *engine_, net, train, test);
  loader_ = data::Loader(train, loader_options(options, prefetch_));
  plan_sha256_ = plan_of(options, *engine_, train);
  if (!keeper_) return;
  check_count(options, net, *engine_);
  blank_ = blank_checkpoint(options, net, *engine_, train, test);
  blank_.plan_sha256 = plan_sha256_;
  if (!options.checkpoints.resume) return;
  if (std::optional<Checkpoint> found = keeper_->newest(blank_, *engine_)) {
    restore(std::move(*found));
    spent_before_ += at_.elapsed;
  }
}

FitResult Run::execute() {
  State result;
  try {
    while (!run_epochs()) roll_back();
    replay_.forget();  // its copy is released before others are made
    if (keeper_ && at_.steps > 0) keep(true);
    result = trained();
  } catch (const DeviceError&) {  // what was trained is lost with the engine's state
    throw;
  } catch (...) {
    replay_.forget();  // its memory may be what is needed
    if (engine_) keep_trained(net_, [this] { return trained(); });
    throw;
  }
  try {
    test(result);
  } catch (...) {
    keep_trained(net_, result);
    throw;
  }
  feed_.reset();
  engine_.reset();  // its memory is most of a run's; copies of the state and their files need it
  keep_trained(net_, result);
  return finish(result);
}

void Run::show_average() {
  if (at_.averages == 0 || shows_average_) return;
  engine_->swap_average();
  shows_average_ = true;
}

void Run::hide_average() {
  if (!shows_average_) return;
  engine_->swap_average();
  shows_average_ = false;
}

State Run::trained() {
  if (at_.best_epoch > 0) return std::move(best_);
  show_average();
  return engine_->state();
}

bool Run::run_epochs() {
  plan_steps();
  announce();
  check_finite(*engine_);
  replay_.keep(*engine_, at_.progress.epoch, at_.progress.batch);
  while (at_.progress.epoch < info_.epochs && (!stopped() || awaits_evaluation())) {
    if (!run_epoch()) return false;
  }
  return true;
}

void Run::plan_steps() {
  constexpr std::int64_t kWorthAnEstimate = 20;  // steps; it takes two
  if (__builtin_mul_overflow(options_.epochs, steps_per_epoch(), &info_.planned_steps) ||
      info_.planned_steps > kMostCounted)
    info_.planned_steps = kMostCounted;
  if (options_.steps > 0)
    info_.planned_steps =
        options_.step_changes.empty() ? std::min(info_.planned_steps, options_.steps) : options_.steps;
  PaceMeter meter(*engine_, *feed_, test_, options_, clock_, prefetch_);
  if (options_.seconds > 0) {
    constexpr double kMeasured = 0.005;  // of the time
    // No schedule is shorter than its warm-up: where the time is, all of it is compressed from the beginning.
    const std::int64_t least = warmup_steps(options_.schedule, steps_per_epoch()) + 1;
    info_.planned_steps = std::max(info_.planned_steps, least);
    const Pace pace = meter.measure(order_, kMeasured * options_.seconds);
    const double now = clock_(), end = begin_ - spent_before_ + options_.seconds;
    const std::int64_t steps = steps_within(end - now, pace, steps_per_epoch(), at_.steps);
    const std::int64_t had = at_.step_changes.empty() ? at_.planned_steps : at_.step_changes.back().steps;
    constexpr double kNone = 0.05;  // of the time: what an ended run leaves of it is less
    const double spare = end - now - pace.end - pace.last_evaluation();
    const bool grows = at_.steps >= had && spare > std::max(pace.step, kNone * options_.seconds);
    const bool cut = interrupted();  // nothing was measured
    if (at_.steps > 0 && (!grows || cut)) {
      info_.planned_steps = at_.planned_steps;
      info_.step_changes = at_.step_changes;
      if (at_.steps < had && !cut) info_.step_changes.push_back({at_.steps, steps});
    } else if (!cut) {
      info_.planned_steps = std::max(steps, least);
      info_.step_changes.clear();
      if (steps < least) info_.step_changes.push_back({at_.steps, steps});
    }
    time_.reset();
    if (!cut) time_.emplace(options_.seconds, end, pace, steps_per_epoch(), now);
  }
  schedule_.emplace(options_.schedule, static_cast<double>(options_.lr),
                    compiler::momentum_of(options_.optimizer).value_or(0), info_.planned_steps,
                    steps_per_epoch());
  if (options_.seconds == 0) info_.step_changes = options_.step_changes;
  for (const StepChange& change : info_.step_changes) schedule_->change(change);
  if (!time_ && options_.estimate && schedule_->steps() - at_.steps >= kWorthAnEstimate)
    info_.seconds = seconds_of(schedule_->steps(), meter.estimate(order_), steps_per_epoch(), at_.steps);
}

void Run::restore(Checkpoint checkpoint) {
  engine_->set_state(with_average(std::move(checkpoint.state), std::move(checkpoint.average), *engine_));
  best_ = std::move(checkpoint.best);
  at_ = std::move(checkpoint.run);
  at_.progress.step = at_.steps;
  info_.done = at_.progress;
  info_.done_steps = at_.steps;
  info_.curve = at_.curve;
}

void Run::announce() {
  info_.batches = loader_.batches();
  info_.device = engine_->device();
  info_.plan_sha256 = plan_sha256_;
  info_.bounded = time_.has_value();
  follow_schedule();
  for (const auto& observer : options_.observers) observer->on_start(info_);
}

void Run::follow_schedule() {
  info_.steps = schedule_->steps();
  info_.epochs = steps_of(info_.steps, steps_per_epoch());
  if (time_) info_.seconds = std::max(0.0, time_->end() - clock_());
}

void Run::replan(const std::optional<std::int64_t>& steps) {
  if (!steps) return;
  info_.step_changes.push_back({submitted_steps(), *steps});
  schedule_->change(info_.step_changes.back());
  follow_schedule();
  for (const auto& observer : options_.observers) observer->on_replan(info_);
}

void Run::keep(bool last) {
  keeper_->keep(
      at_.steps, [this] { return checkpoint(); }, last);
}

Checkpoint Run::checkpoint() {
  at_.planned_steps = info_.planned_steps;
  at_.step_changes = info_.step_changes;
  at_.elapsed = spent_before_ + clock_() - begin_;
  if (comparable_ && at_.evaluated_at == at_.steps && at_.test_acc > at_.top_acc) {
    at_.top_acc = at_.test_acc;
    at_.top_steps = at_.steps;
  }
  Checkpoint checkpoint = blank_;
  checkpoint.run = at_;
  checkpoint.state = engine_->state(StateScope::all);
  checkpoint.average = take_average(checkpoint.state);
  if (at_.averages == 0) checkpoint.average.clear();
  checkpoint.best = best_;
  return checkpoint;
}

void Run::roll_back() {
  const RunState from = at_;
  auto found = keeper_ ? keeper_->newest(blank_, *engine_, back_before(from)) : std::nullopt;
  if (found) {
    restore(std::move(*found));
  } else {
    feed_.reset();
    engine_.reset();  // released before the next one is made
    make_engine();
    best_.clear();
    at_ = {};
    info_ = info_of(net_, train_, test_, options_);
  }
  count_rollback(at_, from);
}

FitResult Run::finish(const State& state) {
  FitResult result = result_of(at_, info_, options_);
  result.validated = options_.validation.has_value();
  if (result.validated) result.val_acc = std::exchange(result.test_acc, tested_.value_or(kNotMeasured));
  result.data = train_.source().counts();
  result.weights_sha256 = io::weights_sha256(state);
  result.complete = at_.evaluated_at == at_.steps && !interrupted() && (!options_.validation || tested_);
  result.seconds = spent_before_ + clock_() - begin_;
  for (const auto& observer : options_.observers) observer->on_finish(result);
  return result;
}

}  // namespace train

FitResult fit(nn::Module& net, const data::Dataset& train, const data::Dataset& test,
              const FitOptions& options) {
  train::check_options(options);
  train::check_data(train, test);
  if (options.validation) train::check_data(train, *options.validation);
  return train::Run(net, train, test, options).execute();
}

}  // namespace resnet

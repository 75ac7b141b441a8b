// The chapter's training loop: running train-mode averages, evaluation once an epoch, steps that are timed.
#include <cmath>
#include <limits>
#include <optional>

#include "io/model_hash.h"
#include "resnet/train.h"
#include "train/average.h"
#include "train/batches.h"
#include "train/checkpoint_keeper.h"
#include "train/diagnosis.h"
#include "train/fit_options.h"
#include "train/fit_result.h"
#include "train/memory.h"
#include "train/rate.h"
#include "train/replay.h"
#include "train/stepper.h"
#include "train/time_plan.h"

namespace resnet {
namespace train {
namespace {

// One run: what the loop carries from batch to batch.
class Run {
 public:
  Run(nn::Module& net, const data::Dataset& train, const data::Dataset& test, const FitOptions& options)
      : net_(net),
        train_(train),
        test_(test),
        options_(options),
        order_(order_of(options, train)),
        loader_(train, loader_options(options)),
        stepper_(options.accumulate, options.clip_norm),
        replay_(options, loader_, order_),
        average_(options.average) {
    check_batches(net, train, options.batch_size, options.drop_last);
    check_parameters(net, options.engine.memory);
    nn::init_unset(net, net.scheme(), options.seed);
    if (!options.checkpoints.folder.empty())
      keeper_.emplace(options.checkpoints, loader_.batches(), options.accumulate);
    make_engine();
    prefetch_ = fit_into_memory(options, *engine_, net, train, test);
    loader_ = data::Loader(train, loader_options(options, prefetch_));
    if (!keeper_) return;
    blank_ = blank_checkpoint(options, net, *engine_, train, test);
    if (!options.checkpoints.resume) return;
    if (std::optional<Checkpoint> found = keeper_->newest(blank_.facts, *engine_)) {
      restore(std::move(*found));
      spent_before_ += at_.elapsed;
    }
  }

  FitResult execute() {
    State result;
    try {
      while (!run_epochs()) roll_back();
      replay_.forget();  // copies of the state take the place of this one
      if (keeper_ && at_.steps > 0) keep(true);
      result = at_.best_epoch > 0 ? std::move(best_) : average_.state(*engine_);
    } catch (const DeviceError&) {  // what was trained is lost with the engine's state
      throw;
    } catch (...) {
      replay_.forget();  // its memory may be what is needed
      if (engine_) keep_trained(net_, *engine_);
      throw;
    }
    engine_.reset();  // its memory is most of a run's: copies of the state, and files of it, take its place
    keep_trained(net_, result);
    return finish(result);
  }

 private:
  void make_engine() {
    EngineOptions engine = engine_options(options_);
    if (!info_.device.kind.empty())
      engine.device = info_.device.kind;  // a run stays on the device that it began on
    engine_ = options_.engine_factory(network_of(net_, batch_shape(options_, train_)), engine);
  }

  // Gives false where it is to go back.
  bool run_epochs() {
    plan();
    announce();
    check_finite(*engine_);
    replay_.keep(*engine_, at_.progress.epoch, at_.progress.batch);
    while (at_.progress.epoch < info_.epochs && (!stopped() || awaits_evaluation())) {
      if (!run_epoch()) return false;
    }
    return true;
  }

  std::int64_t steps_per_epoch() const {
    return (loader_.batches() + options_.accumulate - 1) / options_.accumulate;
  }

  // Decides how many steps there are, and their rates.
  void plan() {
    constexpr std::int64_t kWorthAnEstimate = 20;  // steps; it takes two
    info_.planned_steps = options_.epochs * steps_per_epoch();
    if (options_.steps > 0)
      info_.planned_steps =
          options_.step_changes.empty() ? std::min(info_.planned_steps, options_.steps) : options_.steps;
    PaceMeter meter(*engine_, loader_, test_, options_, clock_, prefetch_);
    if (options_.seconds > 0) {
      constexpr double kMeasured = 0.005;  // of the time
      const Pace pace = meter.measure(order_, kMeasured * options_.seconds);
      const double now = clock_(), end = begin_ - spent_before_ + options_.seconds;
      const std::int64_t steps = steps_within(end - now, pace, steps_per_epoch(), at_.steps);
      info_.planned_steps = at_.steps > 0 ? at_.planned_steps : steps;
      info_.step_changes = at_.step_changes;
      if (at_.steps > 0) info_.step_changes.push_back({at_.steps, steps});
      time_.emplace(options_.seconds, end, pace, steps_per_epoch(), now);
    }
    schedule_.emplace(options_.schedule, static_cast<double>(options_.lr), momentum_of(options_.optimizer),
                      info_.planned_steps, steps_per_epoch());
    if (!time_) info_.step_changes = options_.step_changes;
    for (const StepChange& change : info_.step_changes) schedule_->change(change);
    if (!time_ && options_.estimate && schedule_->steps() - at_.steps >= kWorthAnEstimate)
      info_.seconds = seconds_of(schedule_->steps(), meter.estimate(order_), steps_per_epoch(), at_.steps);
  }

  void restore(Checkpoint checkpoint) {
    engine_->set_state(checkpoint.state);
    average_.restore(std::move(checkpoint.average), checkpoint.run.averages);
    best_ = std::move(checkpoint.best);
    at_ = std::move(checkpoint.run);
    info_.done = at_.progress;
    info_.done_steps = at_.steps;
    info_.curve = at_.curve;
  }

  void announce() {
    info_.batches = loader_.batches();
    info_.device = engine_->device();
    info_.bounded = time_.has_value();
    follow_schedule();
    for (const auto& observer : options_.observers) observer->on_start(info_);
  }

  void follow_schedule() {
    info_.steps = schedule_->steps();
    info_.epochs = options_.seconds > 0 || !options_.step_changes.empty()
                       ? (info_.steps + steps_per_epoch() - 1) / steps_per_epoch()
                       : options_.epochs;
    if (time_) info_.seconds = std::max(0.0, time_->end() - clock_());
  }

  void replan(const std::optional<std::int64_t>& steps) {
    if (!steps) return;
    info_.step_changes.push_back({at_.steps, *steps});
    schedule_->change(info_.step_changes.back());
    follow_schedule();
    for (const auto& observer : options_.observers) observer->on_replan(info_);
  }

  bool interrupted() const { return options_.stop != nullptr && options_.stop->load(); }
  bool out_of_patience() const {
    return options_.patience > 0 && at_.epochs - at_.best_epoch >= options_.patience;
  }
  bool stopped() const { return interrupted() || at_.steps >= schedule_->steps() || out_of_patience(); }

  // Whether its last steps are done, and it was stopped before their evaluation.
  bool awaits_evaluation() const {
    return !interrupted() && at_.progress.batch > 0 && at_.evaluated_at != at_.steps;
  }

  // From where it stands: within the epoch where it was resumed. Gives false where it is to go back.
  bool run_epoch() {
    epoch_rate_ = Rate(std::numeric_limits<double>::infinity());
    const std::int64_t batches = loader_.batches(), every = std::max<std::int64_t>(1, batches / 5);  // points
    loader_.start(order_, at_.progress.epoch, at_.progress.batch);
    while (const data::Batch* batch = stepper_.stepped() && stopped() ? nullptr : loader_.next()) {
      if (!take(*batch, at_.progress.batch + 1 == batches)) return false;
      const bool last = at_.progress.batch == batches;
      for (const auto& observer : options_.observers) observer->on_step(at_.progress);
      if (!last && (!stopped() || interrupted()) && at_.progress.batch % every == 0) emit_point(-1);
      if (time_ && stepper_.stepped() && !last && !stopped())
        replan(time_->look(clock_(), at_.steps, schedule_->steps()));
      if (keeper_ && stepper_.stepped() && !last && !stopped() && keeper_->due(at_.steps)) keep();
      if (stepper_.stepped() && replay_.due()) replay_.keep(*engine_, at_.progress.epoch, at_.progress.batch);
    }
    if (at_.progress.batch == batches) at_.epochs = at_.progress.epoch + 1;
    if (interrupted() || at_.progress.batch == 0) return true;
    if (!finish_epoch()) return true;
    if (at_.progress.batch == batches) begin_epoch(at_.progress.epoch + 1);
    if (keeper_ && !stopped() && keeper_->due_after_epoch(at_.steps)) keep();
    return true;
  }

  void begin_epoch(std::int64_t epoch) {
    at_.epoch_loss = 0;
    at_.epoch_correct = 0;
    at_.progress = {};
    at_.progress.epoch = epoch;
  }

  // Its evaluation, where there is time; gives whether that came to its end.
  bool finish_epoch() {
    if (time_ && !stopped() && options_.patience == 0 && !time_->may_evaluate(clock_())) {
      end_epoch(-1);
      return true;
    }
    const double begin = clock_();
    if (!evaluate_epoch()) return false;
    if (time_ && !stopped()) replan(time_->evaluated(begin, clock_(), at_.steps, schedule_->steps()));
    return true;
  }

  void keep(bool last = false) {
    keeper_->keep(
        at_.steps, [this] { return checkpoint(); }, last);
  }

  Checkpoint checkpoint() {
    at_.averages = average_.updates();
    at_.planned_steps = info_.planned_steps;
    at_.step_changes = info_.step_changes;
    at_.elapsed = spent_before_ + clock_() - begin_;
    if (at_.evaluated_at == at_.steps && at_.test_acc > at_.top_acc) {
      at_.top_acc = at_.test_acc;
      at_.top_steps = at_.steps;
    }
    Checkpoint checkpoint = blank_;
    checkpoint.run = at_;
    checkpoint.state = engine_->state(StateScope::all);
    checkpoint.average = average_.average();
    checkpoint.best = best_;
    return checkpoint;
  }

  StepInputs inputs() const { return slowed(schedule_->at(at_.steps), at_.rollbacks); }

  // A batch: a step, or a part. Gives false where the run is to go back.
  bool take(const data::Batch& batch, bool last) {
    const double begin = clock_();
    if (stepper_.stepped()) step_begin_ = at_.progress.batch;
    const StepInputs given = inputs();
    replay_.note(given, stepper_.stepped());
    const StepResult step = stepper_.take(*engine_, batch, given, last);
    if (!std::isfinite(step.loss_sum) || (stepper_.stepped() && !engine_->finite()))
      return treat(step.loss_sum / static_cast<double>(batch.size()));
    if (stepper_.stepped()) {
      at_.skipped_in_row = 0;
      average_.update(*engine_, ++at_.steps);
      if (time_) time_->count();
    }
    const double seconds = clock_() - begin;
    epoch_rate_.add(batch.size(), seconds);
    recent_.add(batch.size(), seconds);
    at_.seconds += seconds;
    count_batch(at_, step, batch.size(), given.lr);
    at_.progress.examples_per_second = epoch_rate_.value();
    at_.progress.recent_examples_per_second = recent_.value();
    at_.measured = at_.progress;
    return true;
  }

  // Of a step that is not finite, with this loss: whether it is left out; false where the run is to go back.
  bool treat(double loss) {
    Diagnosis d = diagnosis_of(at_, loss, inputs(), options_.batch_size, order_, train_.size());
    d.left = left_by_step(*engine_);
    d.first = replay_.back(*engine_);
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
    throw sick(d, options_.on_nan);
  }

  // All batches of the step.
  void leave_out(Diagnosis& d) {
    ++at_.skipped;
    ++at_.skipped_in_row;
    ++at_.steps;
    at_.progress.batch = std::min(step_begin_ + options_.accumulate, loader_.batches());
    loader_.start(order_, at_.progress.epoch, at_.progress.batch);
    replay_.keep(*engine_, at_.progress.epoch, at_.progress.batch);
    d.skipped = at_.skipped;
    d.outcome = "skip";
    for (const auto& observer : options_.observers) observer->on_nonfinite(d);
  }

  // To the newest checkpoint, or one before where that led here again, or to the beginning; at a smaller
  // rate.
  void roll_back() {
    const RunState from = at_;
    auto found = keeper_ ? keeper_->newest(blank_.facts, *engine_, back_before(from)) : std::nullopt;
    if (found) {
      restore(std::move(*found));
    } else {
      engine_.reset();  // its memory goes before that of the next one comes
      make_engine();
      average_ = WeightAverage(options_.average);
      best_.clear();
      at_ = {};
      info_ = info_of(net_, train_, test_, options_);
    }
    count_rollback(at_, from);
  }

  // Gives whether it was not interrupted.
  bool evaluate_epoch() {
    const auto tell = [&](std::int64_t tested) {
      for (const auto& observer : options_.observers) observer->on_evaluation(at_.progress, tested);
    };
    tell(0);
    State own;  // of the network, while the average is in its place
    if (average_.on()) {
      own = engine_->state();
      engine_->set_state(average_.state(*engine_));
    }
    const Evaluation evaluation = evaluate(*engine_, test_,
                                           {.batch_size = options_.batch_size,
                                            .views = stopped() ? options_.views : views_between(options_),
                                            .loader_threads = options_.loader_threads,
                                            .prefetch = prefetch_,
                                            .stop = options_.stop,
                                            .seen = tell});
    if (options_.patience > 0 && evaluation.examples == test_.size() &&
        !(evaluation.test_acc <= at_.best_acc)) {
      at_.best_acc = evaluation.test_acc;
      at_.best_epoch = at_.progress.epoch + 1;
      best_ = engine_->state();
    }
    if (average_.on()) engine_->set_state(own);
    if (evaluation.examples < test_.size()) return false;
    at_.test_acc = evaluation.test_acc;
    at_.evaluated_at = at_.steps;
    end_epoch(at_.test_acc);
    return true;
  }

  void end_epoch(double test_acc) {
    emit_point(test_acc);
    for (const auto& observer : options_.observers) observer->on_epoch(at_.progress, test_acc);
  }

  void emit_point(double test_acc) {
    const double x = static_cast<double>(at_.progress.epoch) +
                     static_cast<double>(at_.progress.batch) / static_cast<double>(loader_.batches());
    const CurvePoint point{x, at_.progress.loss, at_.progress.train_acc, test_acc};
    at_.curve.push_back(point);
    for (const auto& observer : options_.observers) observer->on_point(point);
  }

  FitResult finish(const State& state) {
    FitResult result = result_of(at_, info_, options_);
    result.data = train_.source().counts();
    result.weights_sha256 = io::weights_sha256(state);
    result.complete = at_.evaluated_at == at_.steps && !interrupted();
    result.seconds = spent_before_ + clock_() - begin_;
    for (const auto& observer : options_.observers) observer->on_finish(result);
    return result;
  }

  nn::Module& net_;
  const data::Dataset& train_;
  const data::Dataset& test_;
  const FitOptions& options_;
  Clock clock_ = clock_of(options_);
  double begin_ = clock_();
  double spent_before_ = options_.spent;  // of the run's time
  data::Order order_;
  int prefetch_ = 0;
  data::Loader loader_;
  Stepper stepper_;
  std::int64_t step_begin_ = 0;  // the first batch of the step
  Replay replay_;
  WeightAverage average_;
  std::unique_ptr<Engine> engine_;
  std::optional<Schedule> schedule_;
  std::optional<TimePlan> time_;
  RunInfo info_ = info_of(net_, train_, test_, options_);
  std::optional<CheckpointKeeper> keeper_;
  Checkpoint blank_;  // what all of the run have

  RunState at_;  // where the run stands
  Rate epoch_rate_{0};
  Rate recent_{10};  // seconds: the noise of single steps is averaged, a change is seen
  State best_;
};

}  // namespace
}  // namespace train

FitResult fit(nn::Module& net, const data::Dataset& train, const data::Dataset& test,
              const FitOptions& options) {
  train::check_options(options);
  train::check_data(train, test);
  return train::Run(net, train, test, options).execute();
}

}  // namespace resnet

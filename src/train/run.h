// One run of fit(): what its loop carries from batch to batch.
#pragma once

#include <memory>
#include <optional>

#include "resnet/train.h"
#include "train/average.h"
#include "train/batches.h"
#include "train/checkpoint_keeper.h"
#include "train/feed.h"
#include "train/fit_options.h"
#include "train/fit_result.h"
#include "train/rate.h"
#include "train/replay.h"
#include "train/stepper.h"
#include "train/time_plan.h"

namespace resnet::train {

class Run {
 public:
  Run(nn::Module& net, const data::Dataset& train, const data::Dataset& test, const FitOptions& options);

  FitResult execute();

 private:
  void make_engine() {
    EngineOptions engine = engine_options(options_);
    if (!info_.device.kind.empty())
      engine.device = info_.device.kind;  // a run stays on the device that it began on
    engine_ = options_.engine_factory(network_of(net_, batch_shape(options_, train_)), engine);
    if (keeps_average(options_)) {  // one that keeps none is refused now
      engine_->swap_average();
      engine_->swap_average();
    }
    feed_.emplace(*engine_, loader_, train_, loader_options(options_), stepper_.depth(*engine_) > 1);
  }

  // Gives false where it is to go back.
  bool run_epochs();

  std::int64_t steps_per_epoch() const { return steps_of(loader_.batches(), options_.accumulate); }

  // Decides how many steps there are, and their rates.
  void plan_steps();

  void restore(Checkpoint checkpoint);
  void announce();
  void follow_schedule();
  // From the step on that comes after those under way.
  void replan(const std::optional<std::int64_t>& steps);

  bool interrupted() const { return options_.stop != nullptr && options_.stop->load(); }
  bool out_of_patience() const {
    return options_.patience > 0 && at_.epochs - at_.best_epoch >= options_.patience;
  }
  bool at_its_end() const { return at_.steps >= schedule_->steps() || out_of_patience(); }
  bool stopped() const { return interrupted() || at_its_end(); }

  // Whether its last steps are done, and it was stopped before their evaluation.
  bool awaits_evaluation() const {
    return !interrupted() && at_.progress.batch > 0 && at_.evaluated_at != at_.steps;
  }

  // From where it stands, which is the epoch's beginning but where the run was resumed. Gives false where it
  // is to go back.
  bool run_epoch();

  void begin_epoch(std::int64_t epoch) {
    at_.epoch_loss = 0;
    at_.epoch_correct = 0;
    at_.progress = {};
    at_.progress.epoch = epoch;
    at_.progress.step = at_.steps;
  }

  // Its evaluation, where there is time; gives whether that came to its end.
  bool finish_epoch();

  void keep(bool last = false);
  Checkpoint checkpoint();

  // Steps that were asked for. An engine that is ahead of its results has whole steps alone.
  std::int64_t submitted_steps() const { return at_.steps + (stepper_.stepped() ? stepper_.under_way() : 0); }

  // Whether the next batch may be given to the engine before what comes of those under way is known. It may
  // not where somebody wants the engine as it is behind the last of them.
  bool may_submit();

  // Of the step that comes after those that were asked for.
  StepInputs next_inputs() const;

  // Keeps the engine supplied; false where nothing is under way.
  bool submit();

  // Counts what came of a batch: a step, or a part. Gives false where the run is to go back.
  bool collect_batch();

  // Of a step that is not finite: whether it is left out; false where the run is to go back. Those that were
  // asked for after it are forgotten.
  bool handle_nonfinite(const BatchOutcome& outcome);

  // All batches of the step.
  void leave_out(Diagnosis& d);

  // To the newest checkpoint, or one before where that led here again, or to the beginning; at a smaller
  // rate.
  void roll_back();

  // What evaluations between epochs see, and patience chooses by.
  const data::Dataset& watched() const { return options_.validation ? *options_.validation : test_; }

  // Of `set` by the network as the engine has it; observers are told, and where the run stands.
  Evaluation evaluated(const data::Dataset& set, Views views, const Progress& at);

  // Puts the average, where there is one, in the place of what is trained, and back: no step is taken while it
  // is there.
  void show_average();
  void hide_average();

  // What the run gives, once: the best network, the average, or the engine's own.
  State trained();

  // The test set where the run was watched on another, at its end, by the network that it gives.
  void test(const State& state);

  // Gives whether it was not interrupted.
  bool evaluate_epoch();
  void end_epoch(double test_acc);
  void emit_point(double test_acc);

  FitResult finish(const State& state);

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
  Counted step_begin_;  // before the first batch of the step
  double since_ = 0;    // by the clock: the engine has been at what is under way
  Replay replay_;
  std::unique_ptr<Engine> engine_;
  std::optional<Feed> feed_;
  std::optional<Schedule> schedule_;
  std::optional<TimePlan> time_;
  RunInfo info_ = info_of(net_, train_, test_, options_);
  std::optional<CheckpointKeeper> keeper_;
  std::string plan_sha256_;  // plan_of() the run: an engine that is made anew has the same
  Checkpoint blank_;         // what all of the run have

  RunState at_;                   // where the run stands
  bool shows_average_ = false;    // the engine's network is the average
  bool comparable_ = false;       // the last evaluation had the views of those between epochs
  std::optional<double> tested_;  // by test()
  Rate epoch_rate_{0};
  Rate recent_{10};  // seconds: the noise of single steps is averaged, a change is seen
  State best_;
};

}  // namespace resnet::train

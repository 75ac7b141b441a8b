// The chapter's training loop: running train-mode averages, evaluation once an epoch, a timer around
// the steps alone.
#include <fmt/core.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <ostream>

#include "base/machine.h"
#include "io/model_hash.h"
#include "resnet/train.h"
#include "train/average.h"
#include "train/batches.h"
#include "train/stepper.h"
#include "train/time_plan.h"

namespace resnet {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double momentum_of(const OptimizerOptions& optimizer) {
  const auto* sgd = std::get_if<SgdOptions>(&optimizer.method);
  return sgd != nullptr ? sgd->momentum : std::get<AdamWOptions>(optimizer.method).beta1;
}

std::vector<std::int32_t> labels_of(const data::Dataset& dataset) {
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < dataset.size(); ++i) labels.push_back(dataset.label(i));
  return labels;
}

void check_options(const FitOptions& options) {
  if (options.epochs < 1) throw ConfigError("FitOptions::epochs must be at least 1");
  if (options.batch_size < 1) throw ConfigError("FitOptions::batch_size must be at least 1");
  if (options.loader_threads < 0) throw ConfigError("FitOptions::loader_threads cannot be negative");
  if (options.steps < 0) throw ConfigError("FitOptions::steps cannot be negative");
  if (!std::isfinite(options.lr) || options.lr < 0) {
    throw ConfigError("FitOptions::lr must be a finite number of at least 0", "the chapter uses 0.05");
  }
  if (options.accumulate < 1) throw ConfigError("FitOptions::accumulate must be at least 1");
  if (options.patience < 0) throw ConfigError("FitOptions::patience cannot be negative");
  for (const auto& [name, value] :
       {std::pair("clip_norm", options.clip_norm), {"seconds", options.seconds}}) {
    if (!std::isfinite(value) || value < 0)
      throw ConfigError(fmt::format("FitOptions::{} must be a finite number of at least 0", name));
  }
  if (!(options.average.decay >= 0 && options.average.decay < 1))
    throw ConfigError("AverageOptions::decay is out of range", "give a number of at least 0 and below 1");
  if (options.average.every < 1) throw ConfigError("AverageOptions::every must be at least 1");
  check(options.optimizer);
  check(options.loss);
  check(options.schedule);
}

// Examples a second, of which the older count less: after `memory` seconds 1/e.
class Rate {
 public:
  explicit Rate(double memory) : memory_(memory) {}
  void add(std::int64_t examples, double seconds) {
    const double kept = std::exp(-seconds / memory_);
    examples_ = kept * examples_ + static_cast<double>(examples);
    seconds_ = kept * seconds_ + seconds;
  }
  double value() const { return seconds_ > 0 ? examples_ / seconds_ : 0; }

 private:
  double memory_, examples_ = 0, seconds_ = 0;
};

// One run: what the loop carries from batch to batch.
class Run {
 public:
  Run(nn::Module& net, const data::Dataset& train, const data::Dataset& test, const FitOptions& options)
      : net_(net),
        train_(train),
        test_(test),
        options_(options),
        order_(options.balanced ? data::Order::balanced(options.seed, labels_of(train))
                                : data::Order::shuffled(options.seed)),
        loader_(train, {.batch_size = options.batch_size,
                        .threads = options.loader_threads > 0
                                       ? options.loader_threads
                                       : resnet::train::loader_threads(options.engine.threads > 0
                                                                           ? options.engine.threads
                                                                           : default_threads()),
                        .layout = ImageLayout::nhwc,
                        .drop_last = options.drop_last,
                        .augment = options.augment,
                        .seed = options.seed}),
        stepper_(options.accumulate, options.clip_norm),
        average_(options.average) {
    resnet::train::check_batches(net, train, options.batch_size, options.drop_last);
    nn::init_unset(net, net.scheme(), options.seed);
    EngineOptions engine_options = options.engine;
    engine_options.seed = options.seed;
    engine_options.optimizer = options.optimizer;
    engine_options.loss = options.loss;
    const Shape& example = train.example_shape();
    const Shape images{std::min(options.batch_size, train.size()), example[0], example[1], example[2]};
    engine_ = options.engine_factory(network_of(net, images), engine_options);
  }

  FitResult execute() {
    try {
      plan();
      announce();
      for (std::int64_t epoch = 0; epoch < epochs_of_run_ && !stopped(); ++epoch) run_epoch(epoch);
    } catch (...) {
      set_state(net_, engine_->state());
      throw;
    }
    return finish();
  }

 private:
  std::int64_t steps_per_epoch() const {
    return (loader_.batches() + options_.accumulate - 1) / options_.accumulate;
  }

  // Decides how many steps there are, and their rates.
  void plan() {
    epochs_of_run_ = options_.epochs;
    std::int64_t steps = options_.epochs * steps_per_epoch();
    if (options_.steps > 0) steps = std::min(steps, options_.steps);
    if (options_.seconds > 0) {
      constexpr double kMeasured = 0.03;  // of the time
      resnet::train::PaceMeter meter(*engine_, loader_, test_, options_);
      const resnet::train::Pace pace = meter.measure(order_, kMeasured * options_.seconds);
      steps = resnet::train::steps_within(options_.seconds - seconds_since(begin_), pace, steps_per_epoch());
      epochs_of_run_ = (steps + steps_per_epoch() - 1) / steps_per_epoch();
    }
    schedule_.emplace(options_.schedule, static_cast<double>(options_.lr), momentum_of(options_.optimizer),
                      steps, steps_per_epoch());
  }

  void announce() {
    RunInfo info;
    info.model = net_.title();
    info.dataset = train_.name();
    info.train_examples = train_.size();
    info.test_examples = test_.size();
    info.epochs = epochs_of_run_;
    info.batches = loader_.batches();
    info.batch_size = options_.batch_size;
    info.accumulate = options_.accumulate;
    info.steps = schedule_->steps();
    info.device = engine_->device().kind;
    for (const auto& observer : options_.observers) observer->on_start(info);
  }

  bool interrupted() const { return options_.stop != nullptr && options_.stop->load(); }
  bool out_of_patience() const { return options_.patience > 0 && epochs_ - best_epoch_ >= options_.patience; }
  bool stopped() const { return interrupted() || steps_ >= schedule_->steps() || out_of_patience(); }

  void run_epoch(std::int64_t epoch) {
    epoch_loss_ = 0;
    epoch_correct_ = 0;
    epoch_rate_ = Rate(std::numeric_limits<double>::infinity());
    progress_ = {};
    progress_.epoch = epoch;
    const std::int64_t batches = loader_.batches();
    const std::int64_t every = std::max<std::int64_t>(1, batches / 5);  // the chapter's points
    loader_.start(order_, epoch);
    while (const data::Batch* batch = stopped() ? nullptr : loader_.next()) {
      const bool last = progress_.batch + 1 == batches;
      take(*batch, last);
      for (const auto& observer : options_.observers) observer->on_step(progress_);
      if (!last && !stopped() && progress_.batch % every == 0) emit_point(-1);
    }
    if (progress_.batch == batches) ++epochs_;
    if (interrupted() || progress_.batch == 0) return;
    evaluate_epoch();
  }

  // A batch: a step, or a part of one.
  void take(const data::Batch& batch, bool last) {
    const auto begin = Clock::now();
    const StepResult step = stepper_.take(*engine_, batch, schedule_->at(steps_), last);
    if (stepper_.stepped()) average_.update(*engine_, ++steps_);
    const double seconds = seconds_since(begin);
    seconds_ += seconds;
    epoch_rate_.add(batch.size(), seconds);
    recent_.add(batch.size(), seconds);
    if (!std::isfinite(step.loss_sum)) {
      throw Error(
          fmt::format("the loss is no longer finite at step {}", steps_ + (stepper_.stepped() ? 0 : 1)),
          "a smaller FitOptions::lr may help");
    }
    examples_ += batch.size();
    epoch_loss_ += step.loss_sum;
    epoch_correct_ += step.correct;
    progress_.batch += 1;
    progress_.examples += batch.size();
    progress_.loss = epoch_loss_ / static_cast<double>(progress_.examples);
    progress_.train_acc = static_cast<double>(epoch_correct_) / static_cast<double>(progress_.examples);
    progress_.examples_per_second = epoch_rate_.value();
    progress_.recent_examples_per_second = recent_.value();
    measured_ = progress_;
  }

  void evaluate_epoch() {
    const auto tell = [&](std::int64_t tested) {
      for (const auto& observer : options_.observers) observer->on_evaluation(progress_, tested);
    };
    tell(0);
    State own;  // of the network, while the average is in its place
    if (average_.on()) {
      own = engine_->state();
      engine_->set_state(average_.state(*engine_));
    }
    const Evaluation evaluation =
        evaluate(*engine_, test_, options_.batch_size, options_.stop, tell, options_.views);
    if (options_.patience > 0 && !interrupted() && !(evaluation.test_acc <= best_acc_)) {
      best_acc_ = evaluation.test_acc;
      best_epoch_ = progress_.epoch + 1;
      best_ = engine_->state();
    }
    if (average_.on()) engine_->set_state(own);
    if (interrupted()) return;
    test_acc_ = evaluation.test_acc;
    evaluated_at_ = steps_;
    emit_point(test_acc_);
    for (const auto& observer : options_.observers) observer->on_epoch(progress_, test_acc_);
  }

  void emit_point(double test_acc) {
    const double x = static_cast<double>(progress_.epoch) +
                     static_cast<double>(progress_.batch) / static_cast<double>(loader_.batches());
    const CurvePoint point{x, progress_.loss, progress_.train_acc, test_acc};
    for (const auto& observer : options_.observers) observer->on_point(point);
  }

  FitResult finish() {
    FitResult result;
    const DeviceInfo device = engine_->device();
    result.device = device.kind;
    result.cpu_model = device.name;
    result.threads = device.threads;
    result.threads_from = device.threads_from;
    result.isa = device.target;
    const State state = best_epoch_ > 0 ? std::move(best_) : average_.state(*engine_);
    engine_.reset();  // its memory is most of a run's: copies of the state, and files of it, take its place
    set_state(net_, state);
    const bool evaluated = evaluated_at_ == steps_;
    if (steps_ > 0) {
      result.loss = measured_.loss;
      result.train_acc = measured_.train_acc;
      if (best_epoch_ > 0) {
        result.test_acc = best_acc_;
      } else if (evaluated) {
        result.test_acc = test_acc_;
      }
      if (seconds_ > 0) result.examples_per_second = static_cast<double>(examples_) / seconds_;
    }
    result.data = train_.source().counts();
    result.seed = options_.seed;
    result.epochs = epochs_;
    result.steps = steps_;
    result.best_epoch = best_epoch_;
    result.optimizer = std::holds_alternative<SgdOptions>(options_.optimizer.method) ? "sgd" : "adamw";
    result.weights_sha256 = io::weights_sha256(state);
    result.complete = evaluated && !interrupted();
    for (const auto& observer : options_.observers) observer->on_finish(result);
    return result;
  }

  Clock::time_point begin_ = Clock::now();
  nn::Module& net_;
  const data::Dataset& train_;
  const data::Dataset& test_;
  const FitOptions& options_;
  data::Order order_;
  data::Loader loader_;
  resnet::train::Stepper stepper_;
  resnet::train::WeightAverage average_;
  std::unique_ptr<Engine> engine_;
  std::optional<Schedule> schedule_;
  std::int64_t epochs_of_run_ = 0;

  Progress progress_;
  Progress measured_;  // after the last step
  double epoch_loss_ = 0;
  std::int64_t epoch_correct_ = 0;
  Rate epoch_rate_{0};
  Rate recent_{10};  // seconds: the noise of single steps is averaged, a change is seen
  double test_acc_ = 0;
  double seconds_ = 0;         // in steps
  std::int64_t examples_ = 0;  // of all epochs
  std::int64_t steps_ = 0, epochs_ = 0;
  std::int64_t evaluated_at_ = -1;  // steps before the last evaluation

  double best_acc_ = -1;
  std::int64_t best_epoch_ = 0;  // from 1
  State best_;
};

}  // namespace

std::ostream& operator<<(std::ostream& out, const FitResult& result) {
  const auto figure = [](double value) {
    return std::isnan(value) ? "not measured" : fmt::format("{:.3f}", value);
  };
  const std::string rate = std::isnan(result.examples_per_second)
                               ? "examples/sec not measured"
                               : fmt::format("{:.1f} examples/sec", result.examples_per_second);
  return out << fmt::format("loss {}, train acc {}, test acc {}\n{} on {}\n", figure(result.loss),
                            figure(result.train_acc), figure(result.test_acc), rate, result.device);
}

FitResult fit(nn::Module& net, const data::Dataset& train, const data::Dataset& test,
              const FitOptions& options) {
  check_options(options);
  if (train.size() == 0 || test.size() == 0) throw ConfigError("a data set without examples");
  if (!(train.example_shape() == test.example_shape())) {
    throw ShapeError("training images " + to_string(train.example_shape()) + " and test images " +
                         to_string(test.example_shape()) + " differ",
                     "give both the same DatasetOptions::resize");
  }
  return Run(net, train, test, options).execute();
}

}  // namespace resnet

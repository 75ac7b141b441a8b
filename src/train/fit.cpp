// The chapter's training loop: running train-mode averages, evaluation once an epoch, a timer around
// the steps alone.
#include <fmt/core.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <ostream>

#include "base/machine.h"
#include "io/model_hash.h"
#include "resnet/train.h"
#include "train/batches.h"

namespace resnet {
namespace {

using Clock = std::chrono::steady_clock;

void check_options(const FitOptions& options) {
  if (options.epochs < 1) throw ConfigError("FitOptions::epochs must be at least 1");
  if (options.batch_size < 1) throw ConfigError("FitOptions::batch_size must be at least 1");
  if (options.steps < 0) throw ConfigError("FitOptions::steps cannot be negative");
  if (!std::isfinite(options.lr) || options.lr < 0) {
    throw ConfigError("FitOptions::lr must be a finite number of at least 0", "the chapter uses 0.05");
  }
  check(options.optimizer);
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
        loader_(train, {.batch_size = options.batch_size,
                        .threads = resnet::train::loader_threads(
                            options.engine.threads > 0 ? options.engine.threads : default_threads()),
                        .layout = ImageLayout::nhwc}) {
    resnet::train::check_batches(net, train, options.batch_size);
    nn::init_unset(net, net.scheme(), options.seed);
    EngineOptions engine_options = options.engine;
    engine_options.seed = options.seed;
    engine_options.optimizer = options.optimizer;
    const Shape& example = train.example_shape();
    const Shape images{std::min(options.batch_size, train.size()), example[0], example[1], example[2]};
    engine_ = options.engine_factory(network_of(net, images), engine_options);
  }

  FitResult execute() {
    try {
      announce();
      for (std::int64_t epoch = 0; epoch < options_.epochs && !stopped(); ++epoch) run_epoch(epoch);
    } catch (...) {
      set_state(net_, engine_->state());
      throw;
    }
    return finish();
  }

 private:
  void announce() {
    RunInfo info;
    info.model = net_.title();
    info.dataset = train_.name();
    info.train_examples = train_.size();
    info.test_examples = test_.size();
    info.epochs = options_.epochs;
    info.batches = loader_.batches();
    info.batch_size = options_.batch_size;
    info.steps = options_.epochs * info.batches;
    if (options_.steps > 0) info.steps = std::min(info.steps, options_.steps);
    info.device = engine_->device().kind;
    for (const auto& observer : options_.observers) observer->on_start(info);
  }

  bool interrupted() const { return options_.stop != nullptr && options_.stop->load(); }
  bool out_of_steps() const { return options_.steps > 0 && steps_ >= options_.steps; }
  bool stopped() const { return interrupted() || out_of_steps(); }

  void run_epoch(std::int64_t epoch) {
    double loss_sum = 0;
    std::int64_t correct = 0;
    Rate rate(std::numeric_limits<double>::infinity());
    progress_ = {};
    progress_.epoch = epoch;
    const std::int64_t batches = loader_.batches();
    const std::int64_t every = std::max<std::int64_t>(1, batches / 5);  // the chapter's points
    loader_.start(data::Order::shuffled(options_.seed), epoch);
    while (const data::Batch* batch = stopped() ? nullptr : loader_.next()) {
      const auto begin = Clock::now();
      const StepResult step = engine_->step(batch->view(), batch->labels.view<std::int32_t>(), {options_.lr});
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      seconds_ += seconds;
      rate.add(batch->size(), seconds);
      recent_.add(batch->size(), seconds);
      ++steps_;
      if (!std::isfinite(step.loss_sum)) {
        throw Error(fmt::format("the loss is no longer finite at step {}", steps_),
                    "a smaller FitOptions::lr may help");
      }
      examples_ += batch->size();
      loss_sum += step.loss_sum;
      correct += step.correct;
      progress_.batch += 1;
      progress_.examples += batch->size();
      progress_.loss = loss_sum / static_cast<double>(progress_.examples);
      progress_.train_acc = static_cast<double>(correct) / static_cast<double>(progress_.examples);
      progress_.examples_per_second = rate.value();
      progress_.recent_examples_per_second = recent_.value();
      measured_ = progress_;
      for (const auto& observer : options_.observers) observer->on_step(progress_);
      const bool last = progress_.batch == batches;
      if (!last && !stopped() && progress_.batch % every == 0) emit_point(-1);
    }
    if (progress_.batch == batches) ++epochs_;
    if (interrupted() || progress_.batch == 0) return;
    const auto tell = [&](std::int64_t tested) {
      for (const auto& observer : options_.observers) observer->on_evaluation(progress_, tested);
    };
    tell(0);
    const Evaluation evaluation = evaluate(*engine_, test_, options_.batch_size, options_.stop, tell);
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
    const State state = engine_->state();
    engine_.reset();  // its memory is most of a run's: copies of the state, and files of it, take its place
    set_state(net_, state);
    const bool evaluated = evaluated_at_ == steps_;
    if (steps_ > 0) {
      result.loss = measured_.loss;
      result.train_acc = measured_.train_acc;
      if (evaluated) result.test_acc = test_acc_;
      if (seconds_ > 0) result.examples_per_second = static_cast<double>(examples_) / seconds_;
    }
    result.seed = options_.seed;
    result.epochs = epochs_;
    result.steps = steps_;
    result.weights_sha256 = io::weights_sha256(state);
    result.complete = evaluated && !interrupted();
    for (const auto& observer : options_.observers) observer->on_finish(result);
    return result;
  }

  nn::Module& net_;
  const data::Dataset& train_;
  const data::Dataset& test_;
  const FitOptions& options_;
  data::Loader loader_;
  std::unique_ptr<Engine> engine_;
  Progress progress_;
  Progress measured_;  // after the last step
  Rate recent_{10};    // seconds: the noise of single steps is averaged, a change is seen
  double test_acc_ = 0;
  double seconds_ = 0;         // in steps
  std::int64_t examples_ = 0;  // of all epochs
  std::int64_t steps_ = 0, epochs_ = 0;
  std::int64_t evaluated_at_ = -1;  // steps before the last evaluation
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

// Training and evaluation as the chapter (Dive into Deep Learning, section "Residual Networks (ResNet)")
// defines them. The trainer emits what happens to observers and prints nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "resnet/checkpoint.h"
#include "resnet/data.h"
#include "resnet/engine.h"
#include "resnet/metrics.h"
#include "resnet/nn.h"
#include "resnet/schedule.h"

namespace resnet {

/// Running, train-mode averages of the epoch so far. The loss is what the steps minimise, smoothed, weighted
/// and mixed as LossOptions and the batches say, the accuracy StepResult::correct's.
struct Progress {
  std::int64_t epoch = 0;     // from 0
  std::int64_t batch = 0;     // batches of this epoch that are done
  std::int64_t examples = 0;  // examples of this epoch that are done
  double loss = 0, train_acc = 0;
  double examples_per_second = 0;         // over the steps of this epoch so far
  double recent_examples_per_second = 0;  // over the last steps, some ten seconds of them
  std::int64_t step = 0;                  // optimiser steps of the run that are done
  double lr = 0;                          // of the last one, or of the one under way
};

/// A point of the curves: x = epoch + (i + 1) / batches. At the end of an epoch test_acc is set too: of the
/// test set, or of the validation set where the run has one (FitOptions::validation).
struct CurvePoint {
  double x = 0;  // epochs
  double loss = 0, train_acc = 0;
  double test_acc = -1;  // negative: not measured at this point
};

/// What an observer learns before the first step.
struct RunInfo {
  std::string model;    // e.g. "d2l_resnet18"
  std::string dataset;  // e.g. "fashion-mnist"
  std::int64_t train_examples = 0, test_examples = 0, classes = 0;
  std::int64_t val_examples = 0;         // of FitOptions::validation
  std::int64_t epochs = 0, batches = 0;  // that its steps reach into; batches of one epoch
  std::int64_t batch_size = 0;
  std::int64_t accumulate = 1;  // batches of a step, the last one of an epoch may have fewer
  std::int64_t steps = 0;       // of the whole run: all of its epochs', or fewer
  DeviceInfo device = {};
  std::string plan_sha256 = {};  // PlannedEngine::plan_sha256() of a batch; "": of an engine without plans
  double seconds = 0;            // from now to the end of the run, about; 0: not known
  bool bounded = false;          // by FitOptions::seconds: it ends then, and steps follow

  // Where it goes on, if it is resumed (CheckpointOptions::resume): what was done of it, and its curve so
  // far.
  Progress done = {};
  std::int64_t done_steps = 0;  // 0: it begins
  std::vector<CurvePoint> curve = {};

  // How to repeat it: FitOptions::steps and step_changes.
  std::int64_t planned_steps = 0;
  std::vector<StepChange> step_changes = {};
};

/// What was not measured. JSON has null in its place, text "not measured".
inline constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

/// The figures of a run, the chapter's two lines and what belongs to them.
struct FitResult {
  // Running, train-mode averages over the last epoch that had a step; kNotMeasured without any step.
  double loss = kNotMeasured, train_acc = kNotMeasured;
  double test_acc = kNotMeasured;             // evaluation mode; after the last step, with patience after
                                              // best_epoch, or not measured
  double val_acc = kNotMeasured;              // the same on FitOptions::validation,
  bool validated = false;                     // if there is one
  double examples_per_second = kNotMeasured;  // examples / time in steps
  std::string device;                         // DeviceInfo::kind: "cpu", "cuda:0"
  std::string device_name;                    // DeviceInfo::name
  std::string cpu_model;                      // of the processor, also where a GPU computes
  std::uint64_t seed = 0;
  std::int64_t epochs = 0;  // finished
  std::int64_t steps = 0;
  std::string step_plan;  // step_plan_text() of the run
  double seconds = 0;     // wall time of all of it, with FitOptions::spent, but for what observers of
                          // on_finish() take
  std::int64_t skipped_steps = 0, rollbacks = 0;  // FitOptions::on_nan
  std::int64_t best_epoch = 0;  // from 1, the one whose network was kept (FitOptions::patience); 0: the last
  std::string optimizer;        // "sgd", "adamw"
  int threads = 0;
  std::string threads_from;  // DeviceInfo::threads_from
  std::string isa;           // DeviceInfo::target: an instruction set, or a GPU's architecture ("sm_90")
  std::string libraries;     // compiler, C library, decoders and DeviceInfo::libraries, with their versions
  std::string plan_sha256;   // RunInfo::plan_sha256
  std::string weights_sha256;
  bool complete = false;                              // false: stopped early
  std::optional<data::Dataset::Source::Counts> data;  // of the training set, where it knows
};

/// The chapter's two lines: `loss 0.014, train acc 0.996, test acc 0.895`, `4680.2 examples/sec on cpu`; a
/// figure without a value is "not measured". With `val acc` before `test acc` where there is one.
std::ostream& operator<<(std::ostream& out, const FitResult& result);

/// What fit() does at a step that is not finite: its loss, a gradient, or a value that it left behind.
///   stop      ends with an Error
///   skip      leaves the step out, and ends with an Error after ten of them in a row
///   rollback  goes back to the newest checkpoint (or one before it, or the beginning) and on with half the
///             learning rate, at most five times in all; then it ends with an Error
enum class OnNan : std::uint8_t { stop, skip, rollback };

/// A step that is not finite.
struct Diagnosis {
  std::int64_t step = 0;                    // of the run, from 1
  std::int64_t epoch = 0;                   // from 0
  std::int64_t batch = 0;                   // of the epoch, from 0
  std::vector<std::int64_t> examples = {};  // of the batch: places in the training set
  double lr = 0;                            // of the step
  double loss = 0;                          // mean of the batch
  double loss_before = kNotMeasured;        // of the epoch so far (Progress::loss)
  std::optional<NonFinite> first = {};      // number in the order of the step; none: taken again, the step
                                            // is finite, so that the machine is at fault
  std::optional<NonFinite> left = {};       // the first value of the state that was not finite after it
  std::int64_t skipped = 0, rollbacks = 0;  // so far, this one included
  std::string outcome = {};                 // "stop", "skip", "rollback"
};

/// A line: "the loss is no longer finite at step 812: the output of layer1.0.conv1 (conv2d) is infinite".
std::string to_string(const Diagnosis& diagnosis);

/// Sees a run and cannot influence it. Called in the training thread, between steps.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_start(const RunInfo&) {}
  virtual void on_step(const Progress&) {}
  virtual void on_point(const CurvePoint&) {}
  /// While the test set, or the validation set, is evaluated: `tested` of its `examples`, 0 at the beginning.
  virtual void on_evaluation(const Progress&, std::int64_t tested, std::int64_t examples) {
    static_cast<void>(tested), static_cast<void>(examples);
  }
  /// `test_acc` as CurvePoint's; negative: not measured, for there was no time
  /// (FitOptions::seconds) or an output was not finite.
  virtual void on_epoch(const Progress&, double test_acc) { static_cast<void>(test_acc); }
  /// The number of steps, and perhaps of epochs, changed (FitOptions::seconds).
  virtual void on_replan(const RunInfo&) {}
  /// A step was not finite; what comes of it follows: an Error, the next step, or on_start() once more.
  virtual void on_nonfinite(const Diagnosis&) {}
  virtual void on_finish(const FitResult&) {}  ///< the network has its trained values
};

/// An exponential moving average of the network's state over the steps: parameters, running statistics as
/// well, and counts as they are. It is what is evaluated and what the network has in the end. The first
/// update copies it, update n after that keeps min(decay^every, n / (n + 9)): the first steps are soon
/// forgotten. Source:
/// torch.optim.swa_utils.AveragedModel(use_buffers=True), timm's ModelEmaV2.
struct AverageOptions {
  double decay = 0;        // of a step, in [0, 1); 0: no average
  std::int64_t every = 8;  // steps between two updates, each of which reads the state and the average once
};

/// Test-time augmentation: what evaluation shows the network of each picture; its outputs are averaged.
///   flip        the picture and its mirror image
///   flip_shift  half of that, and a quarter each of the same shifted by a pixel down and right, up and left
/// Source: airbench's multi-crop of Jordan, arXiv 2404.00498.
enum class Views : std::uint8_t { one, flip, flip_shift };

/// Options of a run, with the chapter's values. Their flags, help and config.toml follow from
/// the table of options in src/settings/.
struct FitOptions {
  std::int64_t epochs = 10;
  std::int64_t batch_size = 256;
  float lr = 0.05F;
  std::uint64_t seed = 0;
  std::int64_t steps = 0;                     // most optimiser steps over all epochs; 0: no bound
  std::vector<StepChange> step_changes = {};  // of `steps`, which is then in place of `epochs`: what
                                              // `seconds` did to a run, to repeat it
  std::vector<std::shared_ptr<Observer>> observers = {};
  const std::atomic<bool>* stop = nullptr;  // set from elsewhere (a signal): end the step (on a GPU up to
                                            // three that are under way), and return
  EngineOptions engine = {};  // its optimizer, loss and seed are those of this run, whatever stands there
  EngineFactory engine_factory = make_engine;
  OptimizerOptions optimizer = {};
  LossOptions loss = {};
  ScheduleOptions schedule = {};  // of `lr` and the optimiser's momentum
  AverageOptions average = {};    // of weights (EMA)
  Views views = Views::one;       // of the last evaluation, and of all where `patience` compares them
  std::int64_t accumulate = 1;    // batches of a step, which takes the mean of their gradients, by examples
  double clip_norm = 0;           // bound of the norm of all gradients of a step; 0: none
  bool balanced = false;          // data::Order::balanced() in place of shuffled()
  CheckpointOptions checkpoints = {};
  OnNan on_nan = OnNan::stop;  // what a step does that is not finite
  std::int64_t patience = 0;   // epochs without a better accuracy, on `validation` or else on the test set,
                               // after which the run ends; it keeps the best; 0: never
  std::optional<data::Dataset> validation = {};  // evaluated in place of the test set, which then is once,
                                                 // with the network that the run gives
  double seconds = 0;  // wall time of the run, its last evaluation and the saving of its model: the number of
                       // steps follows from it, at first after a measured warm-up that trains nothing; 0: no
                       // bound
  double spent = 0;    // of `seconds`, before fit() was called
  std::function<double()> clock = {};  // seconds, monotonic; empty: the machine's
  bool estimate = false;  // RunInfo::seconds also of a run without `seconds`, if it has twenty steps or more:
                          // two steps that train nothing tell
  bool drop_last = false;  // leave out the last batch of an epoch where it is shorter than the others
  data::Augmentation augment = {};  // of the training examples, drawn from `seed`
  // That make batches, which do not depend on them; 0: a quarter of the engine's, from 1 to 8, and in
  // evaluations as EvaluateOptions::loader_threads.
  int loader_threads = 0;
};

/// fit() for want of memory could not give the network what was trained, which is as it was before: in place
/// of what was thrown first.
class NotKept : public MemoryError {
 public:
  NotKept()
      : MemoryError("there is not enough memory, not even to keep what was trained",
                    "the last checkpoint has it; a smaller FitOptions::batch_size needs less memory") {}
};

/// Trains `net` in place, evaluates once an epoch, on FitOptions::validation if there is one, and gives the
/// figures. Unset parameters are initialised by the model's own scheme and the seed. Throws ShapeError if the
/// net does not fit the data, ConfigError for impossible options. If an observer or the machine fails, the
/// network keeps what was trained (or NotKept is thrown, or DeviceError where a GPU that failed had it: the
/// last checkpoint has it).
///
/// Memory: what a run needs is worked out before its first step, and where that is more than there is, or
/// than EngineOptions::memory allows, it throws MemoryError with the number and with what would fit. Before
/// that fewer batches are made ahead and fewer pictures kept in a data set's cache, which changes no number.
///
/// With FitOptions::accumulate a step has the mean of its batches' gradients, each by its examples: that of
/// one batch of that size up to rounding, unless norms, class weights, dropout, mixup or CutMix look at them
/// one by one. FitOptions::clip_norm is torch.nn.utils.clip_grad_norm_: gradients times min(1, clip_norm /
/// (norm + 1e-6)). A step's schedule, average and clipping depend on its number alone, so that a run has the
/// same bits for any number of threads.
///
/// With FitOptions::seconds a run ends on time, within 2 % or one step, whatever is longer, also on a machine
/// that becomes slower or faster: the pace is measured while it goes on, and where the plan would miss the
/// end, what is left of the schedule is stretched or compressed to a new number of steps. The last step has
/// the schedule's last rate. An evaluation between epochs for which there is no time is left out; with
/// FitOptions::patience it is not, and the end may come late by it. What was done is repeated bit for bit by
/// FitOptions::steps and step_changes of RunInfo::planned_steps and step_changes.
///
/// A loss, gradient, weight, running statistic or value of the optimiser that is NaN or infinite is noticed
/// in the step where it arises, and told to observers with the place that it comes from; FitOptions::on_nan
/// says what follows. The network of an Error has the values before that step. For that, a copy of the
/// engine's state is kept, from which the steps since are repeated; it is made so rarely that it takes a
/// thousandth of the time. A step that is left out counts as a step of the schedule, but not of the
/// optimiser.
FitResult fit(nn::Module& net, const data::Dataset& train, const data::Dataset& test,
              const FitOptions& options = {});

/// What evaluate() measured.
struct Evaluation {
  std::int64_t examples = 0;
  double test_acc = kNotMeasured;  // without examples, as the loss
  double loss = kNotMeasured;      // mean cross-entropy, evaluation mode
  bool finite = true;              // every output of the network was
  std::vector<Answer> answers;     // one for each example, in the order of the data set: metrics_of()
};

struct EvaluateOptions {
  std::int64_t batch_size = 256;
  Views views = Views::one;
  int loader_threads = 0;  // that make batches; 0: as many as the engine's, at most 8
  int prefetch = 0;        // batches made ahead; 0: one for each of these threads and at least
                           // three, or fewer where memory asks for it
  const std::atomic<bool>* stop = nullptr;  // set from elsewhere, ends it early: see Evaluation::examples
  std::function<void(std::int64_t examples)> seen = {};  // called after every batch with those so far
  EngineOptions engine = {};                             // of evaluate() of a module
  EngineFactory engine_factory = make_engine;            // the same
};

/// Accuracy and loss in evaluation mode. Labels are compared with outputs by number: see
/// Dataset::with_classes(). Several threads may evaluate with one engine: their batches take turns. Throws
/// ConfigError for a data set without examples and for parameters that are not set, ShapeError if the network
/// gives another output than [N,K] with K at least its classes, MemoryError before it begins, and what reading
/// a picture throws.
Evaluation evaluate(nn::Module& net, const data::Dataset& test, const EvaluateOptions& options = {});
Evaluation evaluate(Engine& engine, const data::Dataset& test, const EvaluateOptions& options = {});
/// The outputs [N,K] for these images, averaged over their views; beyond an edge a shifted view repeats it.
Tensor infer(Engine& engine, const ImageView& images, Views views);

}  // namespace resnet

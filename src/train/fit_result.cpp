#include "train/fit_result.h"

#include <fmt/core.h>

#include <cmath>
#include <ostream>

#include "base/machine.h"
#include "compiler/optimizer.h"

namespace resnet {

std::ostream& operator<<(std::ostream& out, const FitResult& result) {
  const auto figure = [](double value) {
    return std::isnan(value) ? "not measured" : fmt::format("{:.3f}", value);
  };
  const std::string rate = std::isnan(result.examples_per_second)
                               ? "examples/sec not measured"
                               : fmt::format("{:.1f} examples/sec", result.examples_per_second);
  const std::string watched =
      std::isnan(result.val_acc) ? "" : fmt::format("val acc {}, ", figure(result.val_acc));
  return out << fmt::format("loss {}, train acc {}, {}test acc {}\n{} on {}\n", figure(result.loss),
                            figure(result.train_acc), watched, figure(result.test_acc), rate, result.device);
}

namespace train {

RunInfo info_of(const nn::Module& net, const data::Dataset& train, const data::Dataset& test,
                const FitOptions& options) {
  RunInfo info;
  info.model = net.title();
  info.dataset = train.name();
  info.train_examples = train.size();
  info.test_examples = test.size();
  info.val_examples = options.validation ? options.validation->size() : 0;
  info.classes = static_cast<std::int64_t>(train.classes().size());
  info.batch_size = options.batch_size;
  info.accumulate = options.accumulate;
  return info;
}

namespace {

bool on_gpu(const DeviceInfo& device) {
  return device.kind.find(':') != std::string::npos;
}

}  // namespace

void count_batch(RunState& run, const StepResult& step, std::int64_t examples, double lr) {
  run.examples += examples;
  run.epoch_loss += step.loss_sum;
  run.epoch_correct += step.correct;
  run.progress.batch += 1;
  run.progress.examples += examples;
  const auto all = static_cast<double>(run.progress.examples);
  run.progress.loss = run.epoch_loss / all;
  run.progress.train_acc = static_cast<double>(run.epoch_correct) / all;
  run.progress.step = run.steps;
  run.progress.lr = lr;
}

FitResult result_of(const RunState& run, const RunInfo& info, const FitOptions& options) {
  const DeviceInfo& device = info.device;
  FitResult result;
  result.device = device.kind;
  result.device_name = device.name;
  result.cpu_model = on_gpu(device) ? cpu_model() : device.name;
  result.threads = device.threads;
  result.threads_from = device.threads_from;
  result.isa = device.target;
  result.libraries = libraries_of(device);
  result.plan_sha256 = info.plan_sha256;
  if (run.examples > 0) {
    result.loss = run.measured.loss;
    result.train_acc = run.measured.train_acc;
    if (run.best_epoch > 0) {
      result.test_acc = run.best_acc;
    } else if (run.evaluated_at == run.steps && run.test_acc >= 0) {
      result.test_acc = run.test_acc;
    }
    if (run.seconds > 0) result.examples_per_second = static_cast<double>(run.examples) / run.seconds;
  }
  result.seed = options.seed;
  result.epochs = run.epochs;
  result.steps = run.steps;
  result.step_plan = step_plan_text(info.planned_steps, info.step_changes);
  result.skipped_steps = run.skipped;
  result.rollbacks = run.rollbacks;
  result.best_epoch = run.best_epoch;
  result.optimizer = compiler::name_of(options.optimizer);
  return result;
}

}  // namespace train
}  // namespace resnet

#include "train/diagnosis.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/checks.h"

namespace resnet {

std::string to_string(const Diagnosis& d) {
  const std::string what = fmt::format("{} no longer finite at step {}",
                                       std::isfinite(d.loss) ? "the network is" : "the loss is", d.step);
  if (d.first) return fmt::format("{}: {}", what, to_string(*d.first));
  return fmt::format("{}, and is when the step is taken again: the memory or the processor may be at fault{}",
                     what, d.left ? " (" + to_string(*d.left) + ")" : "");
}

namespace train {

void check_finite(const Engine& engine) {
  if (engine.finite()) return;
  const auto found = engine::nonfinite_value(engine.state(StateScope::all), NonFinite::Place::state);
  throw Error(found ? to_string(*found) : "the network is not finite",
              "begin with weights, or a checkpoint, that are finite");
}

std::optional<NonFinite> left_by_step(const Engine& engine) {
  return engine::nonfinite_value(engine.state(StateScope::all), NonFinite::Place::update);
}

Diagnosis diagnosis_of(const RunState& run, double loss, const StepInputs& inputs, std::int64_t batch_size,
                       const data::Order& order, std::int64_t size) {
  Diagnosis d;
  d.step = run.steps + 1;
  d.epoch = run.progress.epoch;
  d.batch = run.progress.batch;
  const std::vector<std::int64_t> all = order.indices(size, d.epoch);
  const std::int64_t begin = std::min(d.batch * batch_size, size), end = std::min(begin + batch_size, size);
  d.examples.assign(all.begin() + begin, all.begin() + end);
  d.lr = static_cast<double>(inputs.lr);
  d.loss = loss;
  if (run.progress.examples > 0) d.loss_before = run.progress.loss;
  d.skipped = run.skipped;
  d.rollbacks = run.rollbacks;
  return d;
}

StepInputs slowed(StepInputs inputs, std::int64_t rollbacks) {
  inputs.lr = std::ldexp(inputs.lr, -static_cast<int>(rollbacks));
  return inputs;
}

std::int64_t back_before(const RunState& run) {
  return run.steps <= run.bad_at ? run.back_to : std::numeric_limits<std::int64_t>::max();
}

void count_rollback(RunState& to, const RunState& from) {
  to.rollbacks = from.rollbacks + 1;
  to.bad_at = from.steps;
  to.back_to = to.steps;
}

Error nonfinite_error(const Diagnosis& diagnosis, OnNan policy) {
  switch (policy) {
    case OnNan::stop:
      break;
    case OnNan::skip:
      return Error(
          to_string(diagnosis),
          fmt::format("{} steps in a row were left out; a smaller FitOptions::lr may help", kMostSkipped));
    case OnNan::rollback:
      return Error(to_string(diagnosis),
                   fmt::format("it went back {} times, each time to half the rate; a much "
                               "smaller FitOptions::lr may help",
                               kMostRollbacks));
  }
  return Error(to_string(diagnosis),
               "a smaller FitOptions::lr may help; FitOptions::on_nan leaves such steps out, or goes back");
}

}  // namespace train
}  // namespace resnet

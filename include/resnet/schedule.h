// Learning rate and momentum as functions of the step: they need no state, and the same options give the same
// numbers wherever a run goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "resnet/optimizer.h"

namespace resnet {

/// With t the step from 0 after the warm-up and T all steps after it; factors are of the highest rate:
///   constant    1
///   step        gamma^floor(t / every)
///   cosine      final + (1 - final) (1 + cos(pi t / T)) / 2
///   one_cycle   a half cosine from `start` to 1 over the first peak * T - 1 steps, a half cosine to `final`
///               at the last step; momentum from its own to `low_momentum` and back
///   polynomial  final + (1 - final) (1 - t / T)^power
///   triangular  a straight line from `start` to 1 at peak * T, and one to `final` at T
/// Source: torch.optim.lr_scheduler's StepLR, CosineAnnealingLR, OneCycleLR and PolynomialLR; Smith and
/// Topin, arXiv 1708.07120; Loshchilov and Hutter, arXiv 1608.03983.
enum class ScheduleKind : std::uint8_t { constant, step, cosine, one_cycle, polynomial, triangular };

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::constant;
  double warmup_epochs = 0;  // before all else, a straight line from `start` to 1, as LinearLR
  double start = 0.04;       // factor of the first step
  double final = 0;          // factor of the end
  double peak = 0.3;         // one_cycle, triangular: share of the steps at which the rate is highest
  double power = 1;          // polynomial
  double gamma = 0.1;        // step: factor of every fall
  double every_epochs = 30;  // step: between two falls
  std::optional<double> low_momentum = {};  // one_cycle: at the highest rate; none: momentum stays
};

/// Throws ConfigError for options that no schedule can have.
void check(const ScheduleOptions& options);

/// The warm-up's whole steps.
std::int64_t warmup_steps(const ScheduleOptions& options, std::int64_t steps_per_epoch);

/// A change of a run's length while it goes on: from step `from` (from 0) on it is to end with `steps` steps.
struct StepChange {
  std::int64_t from = 0, steps = 0;
  bool operator==(const StepChange&) const = default;
};

/// "940", or with changes "940,310:902,700:910": planned for 940 steps, from step 310 on for 902.
std::string step_plan_text(std::int64_t steps, std::span<const StepChange> changes);

/// The schedule of one run.
class Schedule {
 public:
  /// `momentum` is the optimiser's own. Throws ConfigError for impossible options, for no steps, for a warm-up
  /// that is as long as the run, and for a low momentum of an optimiser without. Both are rounded to whole steps.
  Schedule(const ScheduleOptions& options, double lr, double momentum, std::int64_t steps,
           std::int64_t steps_per_epoch);

  /// What step `step`, from 0, takes; after the last one, what that took.
  StepInputs at(std::int64_t step) const;
  std::int64_t steps() const noexcept { return steps_; }

  /// Stretches or compresses what is left from step `change.from` on, so that step `change.steps` - 1 takes
  /// what the last of the original schedule would have; earlier steps stay as they were. Throws ConfigError
  /// for a change before an earlier one, beyond the end, or to no further step.
  void change(const StepChange& change);

 private:
  /// From step `from` on: it stands at `place` of the original schedule, each later one `pace` further.
  struct Stretch {
    std::int64_t from = 0;
    double place = 0, pace = 1;
  };
  double place(std::int64_t step) const;
  double factor(double t, double all) const;

  ScheduleOptions options_;
  double lr_, momentum_;
  std::int64_t planned_, steps_;  // at first, and now
  std::int64_t warmup_, every_;
  std::vector<Stretch> stretches_{Stretch{}};
};

}  // namespace resnet

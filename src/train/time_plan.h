// How many steps fit into a time.
#pragma once

#include "resnet/train.h"

namespace resnet::train {

/// Wall time, seconds.
struct Pace {
  double step = 0;        // with the wait for its batches
  double evaluation = 0;  // of the whole test set
};

/// The most steps of a run that ends, with an evaluation after every epoch and after the last step, within
/// `seconds`; at least 1.
std::int64_t steps_within(double seconds, const Pace& pace, std::int64_t steps_per_epoch);

/// Runs steps and an evaluation for about `seconds`, each at least a few times, and gives their pace. The
/// engine's state is as before then.
class PaceMeter {
 public:
  PaceMeter(Engine& engine, data::Loader& loader, const data::Dataset& test, const FitOptions& options)
      : engine_(engine), loader_(loader), test_(test), options_(options) {}
  Pace measure(const data::Order& order, double seconds);

 private:
  double step_seconds(const data::Order& order, double seconds);
  double evaluation_seconds(double seconds);
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }

  Engine& engine_;
  data::Loader& loader_;
  const data::Dataset& test_;
  const FitOptions& options_;
};

}  // namespace resnet::train

// The average of a network's state over the steps of a run, which the engine keeps.
#pragma once

#include <cstdint>

#include "resnet/train.h"

namespace resnet::train {

inline bool keeps_average(const FitOptions& options) {
  return options.average.decay > 0;
}

/// Its updates in the steps after `from` up to `to`.
std::int64_t average_updates(const AverageOptions& options, std::int64_t from, std::int64_t to);

/// StepInputs::average_share of step `step`, from 1, before which there were so many updates: 0 where none is
/// due.
float average_share(const AverageOptions& options, std::int64_t step, std::int64_t updates);

/// Takes the average out of a state of StateScope::all, and gives it by the network's names, with its counts;
/// nothing where the state has none.
State take_average(State& all);
/// The two together again, as far as the engine keeps averages: of a value that its training does not use it has
/// none.
State with_average(State all, State average, const Engine& engine);

}  // namespace resnet::train

// The figures of a run while it goes on and at its end.
#pragma once

#include "train/checkpoint.h"

namespace resnet::train {

/// What observers learn of a run before it is planned.
RunInfo info_of(const nn::Module& net, const data::Dataset& train, const data::Dataset& test,
                const FitOptions& options);

/// Adds a batch, whose step has this learning rate, to the sums of its epoch.
void count_batch(RunState& run, const StepResult& step, std::int64_t examples, double lr);

/// All but what follows from the data, the weights and the end.
FitResult result_of(const RunState& run, const RunInfo& info, const FitOptions& options);

}  // namespace resnet::train

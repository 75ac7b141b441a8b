// What FitOptions may be, and what follows from them.
#pragma once

#include "resnet/train.h"

namespace resnet::train {

/// Throws ConfigError for options that no run can have.
void check_options(const FitOptions& options);

/// Of the run's engine.
EngineOptions engine_options(const FitOptions& options);

}  // namespace resnet::train

#include "train/fit_options.h"

#include <fmt/core.h>

#include <cmath>

#include "train/average.h"

namespace resnet::train {

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
       {std::pair("clip_norm", options.clip_norm), {"seconds", options.seconds}, {"spent", options.spent}}) {
    if (!std::isfinite(value) || value < 0)
      throw ConfigError(fmt::format("FitOptions::{} must be a finite number of at least 0", name));
  }
  if (options.optimizer.average)
    throw ConfigError("OptimizerOptions::average is fit()'s to set", "give AverageOptions::decay");
  if (!(options.average.decay >= 0 && options.average.decay < 1))
    throw ConfigError("AverageOptions::decay is out of range", "give a number of at least 0 and below 1");
  if (options.average.every < 1) throw ConfigError("AverageOptions::every must be at least 1");
  if (!options.step_changes.empty() && options.steps == 0)
    throw ConfigError("FitOptions::step_changes are changes of FitOptions::steps, which is 0");
  check(options.optimizer);
  check(options.loss);
  check(options.schedule);
  check(options.checkpoints);
}

EngineOptions engine_options(const FitOptions& options) {
  EngineOptions engine = options.engine;
  engine.seed = options.seed;
  engine.optimizer = options.optimizer;
  engine.optimizer.average = keeps_average(options);
  engine.loss = options.loss;
  return engine;
}

}  // namespace resnet::train

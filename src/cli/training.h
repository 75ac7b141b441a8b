// One run of `resnet train`: from its settings to its folder.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "resnet/train.h"
#include "settings/settings.h"

namespace resnet::cli {

struct Training {
  settings::Settings chosen;
  settings::Settings earlier = {};   // of `resumed` or `config`: the data must be theirs,
  bool other_data = false;           // unless other data was asked for
  std::string resumed = {};          // the folder of the run that goes on; "": a new one
  std::string config = {};           // the file that the settings came from; "": none
  bool quiet = false;                // no progress bar, no curves
  bool epochs_alone = false;         // --epochs was given, without --steps or --time
  SteadyTime begin = {};             // of its time
  std::function<void()> begun = {};  // called when it has begun, or goes on
};

struct Trained {
  FitResult result;
  std::filesystem::path folder;
  bool saved = false;      // false: it was stopped before its first step, and nothing is kept
  bool resumable = false;  // it has checkpoints
};

/// Throws ConfigError where an option of these names is not what it was in the run, or the seeds' runs, that goes
/// on.
void check_unchanged(const Training& run, const std::vector<std::string>& names);

/// Trains and keeps everything in the run's folder. Ends early, with what was done, where a signal asks for
/// it (stop_signals.h). Throws what fit() and the records throw; what was trained is then in the folder.
Trained train_run(const Training& run);

}  // namespace resnet::cli

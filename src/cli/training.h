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
  bool other_data = false;           // unless a new run asks for other data
  std::string resumed = {};          // the folder of the run that goes on; "": a new one
  std::string config = {};           // the file that `earlier` came from where nothing goes on; "": none
  bool of_seeds = false;             // `earlier` is a run of the same seeds
  bool quiet = false;                // no progress bar, no curves
  bool epochs_alone = false;         // --epochs was given, without --steps or --time
  bool steps_alone = false;          // --steps was given, without --epochs or --time
  SteadyTime begin = {};             // of its time
  std::function<void()> begun = {};  // called when it has begun, or goes on
};

struct Trained {
  FitResult result;
  std::filesystem::path folder;
  bool saved = false;      // false: it was stopped before its first step, and nothing is kept
  bool resumable = false;  // it has checkpoints
};

/// Trains and keeps everything in the run's folder. Ends early, with what was done, where a signal asks for
/// it (stop_signals.h). Throws what fit() and the records throw; what was trained is then in the folder.
Trained train_run(const Training& run);

}  // namespace resnet::cli

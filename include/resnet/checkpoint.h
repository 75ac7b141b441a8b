// Checkpoints: all that a run needs to go on, after whatever ended it, as if nothing had happened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace resnet {

/// Where and when fit() writes checkpoints. A checkpoint is a safetensors file `step-<steps>.safetensors`
/// with the engine's whole state between two optimiser steps and all else that the rest of the run depends
/// on. It is written by a thread of its own: to a temporary file that is flushed, read back, compared and
/// renamed; then older ones are removed. What goes wrong with it is told to `note` and does not end the run,
/// which writes one where it is stopped and one at its end.
struct CheckpointOptions {
  std::filesystem::path folder = {};  // empty: none are written; else made if need be, and this run's alone
  std::int64_t every_steps = 0;       // optimiser steps from one to the next; 0: whatever their number
  double every_seconds = 300;         // wall time from one to the next; 0: however long it is
  bool every_epoch = true;  // after an epoch's evaluation, if a hundred times as long has passed since the
                            // last one as that took
  std::int64_t keep = 2;    // the newest ones; the best epoch's and what the run went on from stay as well
  bool resume = false;      // go on from the newest one in `folder` that is whole; begin if there are none;
                            // FormatError if there are some, and none is whole
  std::function<void(const std::string&)> note = {};  // a line for people, in the training thread
};

/// Throws ConfigError for options that cannot be.
void check(const CheckpointOptions& options);

/// The checkpoints in a folder, the newest first; whether they are whole is not looked at. Throws IoError.
std::vector<std::filesystem::path> checkpoints_in(const std::filesystem::path& folder);

}  // namespace resnet

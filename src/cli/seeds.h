// `resnet train --seeds N`: the same run with seeds that follow each other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "cli/training.h"

namespace resnet::cli {

struct SeedRuns {
  std::filesystem::path folder;        // around those of the runs; "": nothing is kept
  std::int64_t ended = 0, wanted = 0;  // runs
  std::string text, json;              // what they have in common
};

/// Trains first.chosen.seeds runs, one after the other, in `seed-N` below one folder, which also gets
/// config.toml (that of all of them), and after each run summary.json and curves.svg. With first.resumed that
/// folder goes on: runs that have ended are left as they are unless they are to be `longer`. Ends early where
/// a signal asks for it. Each run has the whole of a time that was given. Throws as train_run().
SeedRuns train_seeds(const Training& first, bool longer);

}  // namespace resnet::cli

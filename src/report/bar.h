// The text of the progress bar and of the line a finished epoch leaves.
#pragma once

#include <cstdint>
#include <string>

#include "resnet/train.h"

namespace resnet::report {

/// Where a bar stands. tqdm's layout: `{desc}: {pct}%|{bar}| {n}/{total} [{elapsed}<{remaining}, {rate},
/// ...]`; behind it what is left of the whole run.
struct BarState {
  std::int64_t epochs = 0, batches = 0;
  Progress progress;
  std::int64_t initial = 0;   // batches of this epoch that were done before `seconds` began (resumed)
  double seconds = 0;         // since then; while testing: since the test began
  double run_left = -1;       // seconds; negative: unknown
  std::int64_t examples = 0;  // of the test set, while it is tested; else 0
  std::int64_t tested = 0;    // of them
};

/// The bar in at most `width` cells. Where it would be too short, first words are shortened, then figures are
/// left out from the right.
std::string bar_text(const BarState& state, int width, bool utf8);

/// `Testing:  45%|████     | 4608/10000 [00:05<00:06, 820.1 examples/s]`: a test set by itself, or other work
/// whose `title` and `unit` are given.
std::string test_text(std::int64_t tested, std::int64_t examples, double seconds, int width, bool utf8,
                      const std::string& title = "Testing", const std::string& unit = "examples");

/// `epoch 1/10  loss 0.893  train acc 0.720  test acc 0.801  127.3 examples/sec  [06:12]`, in at most
/// `width` cells (0: any): first words are shortened, then figures left out from the right, the rate and the
/// time before the accuracies. Seconds since the run began. A negative test_acc is left out, and a rate of 0,
/// of a run that goes on and has not stepped; `batches` > 0
/// says that the epoch is not whole, `run_left` >= 0 how many seconds are left of the run, `validated` that
/// test_acc is of a validation set.
std::string epoch_text(const Progress& progress, std::int64_t epochs, std::int64_t batches, double test_acc,
                       double seconds, int width, double run_left = -1, bool validated = false);

}  // namespace resnet::report

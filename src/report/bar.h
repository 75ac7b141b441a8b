// The text of the progress bar and of the line a finished epoch leaves.
#pragma once

#include <cstdint>
#include <string>

#include "resnet/train.h"

namespace resnet::report {

/// Where a bar stands. tqdm's layout: `{desc}: {pct}%|{bar}| {n}/{total} [{elapsed}<{remaining}, {rate},
/// ...]`.
struct BarState {
  std::int64_t epochs = 0, batches = 0;
  Progress progress;
  std::int64_t initial = 0;  // batches of this epoch that were done before `seconds` began (resumed)
  double seconds = 0;        // since then
};

/// The bar in at most `width` cells. Where it would be too short, figures are left out from the right.
std::string bar_text(const BarState& state, int width, bool utf8);

/// `epoch 1/10  loss 0.893  train acc 0.720  test acc 0.801  127.3 examples/sec  [06:12]`, in at most
/// `width` cells (0: any) by leaving out from the right; seconds since the run began.
/// A negative test_acc is left out; `batches` > 0 says that the epoch was cut short.
std::string epoch_text(const Progress& progress, std::int64_t epochs, std::int64_t batches, double test_acc,
                       double seconds, int width);

}  // namespace resnet::report

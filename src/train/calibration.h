// Whether probabilities are frequencies.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "resnet/metrics.h"

namespace resnet::train {

/// Answers of about the same probability.
struct CalibrationBin {
  std::int64_t examples = 0, hits = 0;
  double probability_sum = 0;
};

/// 15 bins of equal width, (0, 1/15], ..., (14/15, 1]. Source: Guo et al., arXiv 1706.04599.
std::vector<CalibrationBin> calibration_of(std::span<const Answer> answers);

}  // namespace resnet::train

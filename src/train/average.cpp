#include "train/average.h"

#include <algorithm>
#include <cmath>

namespace resnet::train {

void WeightAverage::update(const Engine& engine, std::int64_t step) {
  if (!due(step)) return;
  State now = engine.state();
  ++updates_;
  if (average_.empty()) {
    average_ = std::move(now);
    return;
  }
  const auto n = static_cast<double>(updates_);
  const double kept = std::min(std::pow(options_.decay, static_cast<double>(options_.every)), n / (n + 9));
  const auto rest = static_cast<float>(1 - kept);
  for (std::size_t i = 0; i < average_.size(); ++i) {
    Tensor& average = average_[i].second;
    const Tensor& value = now[i].second;
    if (average.dtype() != DType::f32) {
      average = value;  // a count
      continue;
    }
    float* to = average.values().data();
    const float* from = value.values().data();
    for (std::int64_t j = 0; j < average.shape().elements(); ++j) to[j] += rest * (from[j] - to[j]);
  }
}

State WeightAverage::state(const Engine& engine) const {
  return average_.empty() ? engine.state() : average_;
}

}  // namespace resnet::train

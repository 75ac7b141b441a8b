// Examples a second.
#pragma once

#include <cmath>
#include <cstdint>

namespace resnet::train {

/// An average of which the older examples count less: after `memory` seconds 1/e.
class Rate {
 public:
  explicit Rate(double memory) : memory_(memory) {}
  void add(std::int64_t examples, double seconds) {
    const double kept = std::exp(-seconds / memory_);
    examples_ = kept * examples_ + static_cast<double>(examples);
    seconds_ = kept * seconds_ + seconds;
  }
  double value() const { return seconds_ > 0 ? examples_ / seconds_ : 0; }

 private:
  double memory_, examples_ = 0, seconds_ = 0;
};

}  // namespace resnet::train

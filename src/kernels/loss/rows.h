// What the kernels of the loss share: rows of logits in chunks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/kernel.h"

namespace resnet::kernels {

/// Rows in fixed chunks of about 4096 exponentials, which take some 50 us.
class RowKernel : public Kernel {
 public:
  using Index = std::int64_t;
  RowKernel(Index n, Index classes)
      : n_(n), classes_(classes), rows_per_task_(std::max<Index>(1, 4096 / std::max<Index>(1, classes))) {}

 protected:
  struct Rows {
    Index first, last;
  };
  Index chunks() const noexcept { return (n_ + rows_per_task_ - 1) / rows_per_task_; }
  Rows rows(Index chunk) const noexcept {
    return {chunk * rows_per_task_, std::min(n_, (chunk + 1) * rows_per_task_)};
  }
  const float* logits(const Call& call, Index row) const noexcept {
    return call.operand<const float>(0) + row * classes_;
  }
  Index label(const Call& call, Index row) const noexcept { return call.operand<const std::int32_t>(1)[row]; }

  /// The first largest; a NaN counts as largest, as in PyTorch.
  Index argmax(const float* row) const noexcept {
    Index best = 0;
    for (Index k = 1; k < classes_; ++k) {
      if (row[k] > row[best] || (std::isnan(row[k]) && !std::isnan(row[best]))) best = k;
    }
    return best;
  }

  Index n_;
  Index classes_;

 private:
  Index rows_per_task_;
};

}  // namespace resnet::kernels

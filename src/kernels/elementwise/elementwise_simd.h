// The vector sweeps of the elementwise family, each over one chunk.
#pragma once

#include <cstdint>

#include "base/machine.h"

namespace resnet::kernels {

struct ElementwiseFunctions {
  void (*relu)(const float* x, float* y, std::int64_t count);
  void (*relu_gradient)(const float* dy, const float* y, float* dx, std::int64_t count);
  void (*add)(const float* a, const float* b, float* y, std::int64_t count);
  void (*sgd)(const float* param, const float* grad, float lr, float* updated, std::int64_t count);
  /// sums[j] of what stands at place j of the period; `block` is working memory of the same size.
  void (*channel_sum)(const float* x, std::int64_t count, std::int64_t period, float* block, float* sums);
};

const ElementwiseFunctions& elementwise_functions(Isa isa);

}  // namespace resnet::kernels

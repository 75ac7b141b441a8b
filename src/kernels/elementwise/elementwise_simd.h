// The vector sweeps of the elementwise family, each over one chunk.
#pragma once

#include <cstdint>

#include "base/machine.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

/// On activations stored as T.
template <class T>
struct ElementwiseFunctions {
  void (*relu)(const T* x, T* y, std::int64_t count);
  void (*relu_gradient)(const T* dy, const T* y, T* dx, std::int64_t count);
  void (*add)(const T* a, const T* b, T* y, std::int64_t count);
  /// sums[j] of what stands at place j of the period; `block` is working memory of the same size.
  void (*channel_sum)(const T* x, std::int64_t count, std::int64_t period, float* block, float* sums);
};

template <class T>
const ElementwiseFunctions<T>& elementwise_functions(Isa isa);
template <>
const ElementwiseFunctions<float>& elementwise_functions<float>(Isa isa);
template <>
const ElementwiseFunctions<BFloat16>& elementwise_functions<BFloat16>(Isa isa);

}  // namespace resnet::kernels

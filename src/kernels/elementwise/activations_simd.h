// The vector sweeps of smooth activations and of products, each over one chunk.
#pragma once

#include <cstdint>

#include "base/machine.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

/// On activations stored as T. A gate is a number for each channel of one image.
template <class T>
struct ActivationFunctions {
  using Map = void (*)(const T* x, T* y, std::int64_t count);
  using Gradient = void (*)(const T* dy, const T* x, T* dx, std::int64_t count);
  Map activation[3];  // by Activation
  Gradient gradient[3];
  void (*multiply)(const T* a, const T* b, T* y, std::int64_t count);
  void (*multiply_rows)(const T* x, const T* gate, T* y, std::int64_t rows, std::int64_t channels);
  /// gate[j] = sum over `rows` rows of dy * x, for `count` channels, where rows stand `channels` apart.
  void (*gate_gradient)(const T* dy, const T* x, T* gate, std::int64_t rows, std::int64_t channels,
                        std::int64_t count);
};

template <class T>
const ActivationFunctions<T>& activation_functions(Isa isa);
template <>
const ActivationFunctions<float>& activation_functions<float>(Isa isa);
template <>
const ActivationFunctions<BFloat16>& activation_functions<BFloat16>(Isa isa);

}  // namespace resnet::kernels

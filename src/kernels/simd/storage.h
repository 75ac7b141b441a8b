// What activations and their gradients are stored as, f32 or bf16: kernels over them are templates on
// that type.
#pragma once

#include <memory>
#include <utility>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

/// Throws ConfigError unless these instructions serve the storage type.
void check_storage(DType storage, Isa isa);

/// K<float> or K<BFloat16>, made of `arguments`.
template <template <class> class K, class... Arguments>
std::unique_ptr<Kernel> make_stored(DType storage, Isa isa, Arguments&&... arguments) {
  check_storage(storage, isa);
  if (storage == DType::bf16)
    return std::make_unique<K<BFloat16>>(std::forward<Arguments>(arguments)..., isa);
  return std::make_unique<K<float>>(std::forward<Arguments>(arguments)..., isa);
}

}  // namespace resnet::kernels

#include "kernels/simd/storage.h"

#include <string>

#include "resnet/error.h"

namespace resnet::kernels {

void check_storage(DType storage, Isa isa) {
  if (storage == DType::f32 || (storage == DType::bf16 && isa == Isa::avx512_bf16)) return;
  throw ConfigError(
      "no kernel stores " + std::string(name_of(storage)) + " with " + std::string(name_of(isa)),
      "bf16 needs avx512_bf16");
}

}  // namespace resnet::kernels

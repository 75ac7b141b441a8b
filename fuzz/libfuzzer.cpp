// The driver of clang's libFuzzer, which finds its inputs by the code that they reach.
#include <cstddef>
#include <cstdint>

#include "model_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  resnet::fuzz::run_one({data, size});
  return 0;
}

// The driver of clang's libFuzzer, which finds its inputs by the code that they reach.
//
// Usage: libfuzzer TARGET [-flag=value...] [CORPUS...]
#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "mutate.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

using resnet::fuzz::Target;

constexpr const char* kVariable = "RESNET_FUZZ_TARGET";  // for the processes that libFuzzer starts

const Target& target() {
  static const Target kTarget = [] {
    const char* const name = std::getenv(kVariable);
    for (const auto& known : resnet::fuzz::kTargets) {
      if (name != nullptr && known.name == name) return known.make();
    }
    fmt::print(stderr, "usage: libfuzzer TARGET [-flag=value...] [CORPUS...]\n");
    std::_Exit(2);
  }();
  return kTarget;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc > 1 && (*argv)[1][0] != '-' && std::getenv(kVariable) == nullptr) {
    ::setenv(kVariable, (*argv)[1], 1);
    std::memmove(*argv + 1, *argv + 2, sizeof(char*) * static_cast<std::size_t>(*argc - 1));
    --*argc;
  }
  static_cast<void>(target());
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                               unsigned seed) {
  constexpr unsigned kWordEvery = 4;
  if (target().words.empty() || seed % kWordEvery != 0) return LLVMFuzzerMutate(data, size, most);
  std::uint8_t numbers[24];
  for (std::size_t i = 0; i < sizeof numbers; ++i) {
    seed = seed * 1664525U + 1013904223U;  // Numerical Recipes, section 7.1
    numbers[i] = static_cast<std::uint8_t>(seed >> 24U);
  }
  resnet::fuzz::Choices choices(numbers);
  const std::string text = resnet::fuzz::with_word({reinterpret_cast<char*>(data), size}, choices, target());
  const std::size_t length = std::min(most, text.size());
  std::memcpy(data, text.data(), length);
  return length;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  target().run({reinterpret_cast<const char*>(data), size});
  return 0;
}

// Memory of the emulated device: who goes on behind its end is stopped there.
#pragma once

#include <cstdint>

namespace resnet::emulator {

/// So many bytes from a multiple of 256 on, each 0xff; null where there is no room. Behind the next multiple
/// lies a page that ends the process that touches it; under the address sanitizer the last byte is the end.
void* new_memory(std::uint64_t bytes) noexcept;
void delete_memory(void* memory, std::uint64_t bytes) noexcept;

}  // namespace resnet::emulator

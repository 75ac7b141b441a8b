#include "emulator/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <new>

namespace resnet::emulator {
namespace {

constexpr std::uint64_t kAlignment = 256;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kGuarded = false;
#else
constexpr bool kGuarded = true;
#endif

std::uint64_t page() {
  static const auto kPage = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return kPage;
}

std::uint64_t whole(std::uint64_t bytes, std::uint64_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

void* new_memory(std::uint64_t bytes) noexcept {
  void* memory = nullptr;
  if constexpr (kGuarded) {
    const std::uint64_t body = whole(bytes, page());
    void* const all =
        ::mmap(nullptr, body + page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return nullptr;
    ::mprotect(static_cast<std::byte*>(all) + body, page(), PROT_NONE);
    memory = static_cast<std::byte*>(all) + body - whole(bytes, kAlignment);
  } else {
    memory = ::operator new (bytes, std::align_val_t{kAlignment}, std::nothrow);
  }
  if (memory != nullptr) std::memset(memory, 0xff, bytes);
  return memory;
}

void delete_memory(void* memory, std::uint64_t bytes) noexcept {
  if constexpr (kGuarded) {
    const std::uint64_t body = whole(bytes, page());
    ::munmap(static_cast<std::byte*>(memory) + whole(bytes, kAlignment) - body, body + page());
  } else {
    ::operator delete (memory, std::align_val_t{kAlignment});
  }
}

}  // namespace resnet::emulator

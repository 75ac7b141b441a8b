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
  const std::uint64_t body = kGuarded ? whole(bytes, page()) : bytes, guard = kGuarded ? page() : 0;
  const std::align_val_t alignment{kGuarded ? page() : kAlignment};
  auto* const all = static_cast<std::byte*>(::operator new(body + guard, alignment, std::nothrow));
  if (all == nullptr) return nullptr;
  std::memset(all, 0xff, body);
  if constexpr (!kGuarded) return all;
  ::mprotect(all + body, guard, PROT_NONE);
  return all + body - whole(bytes, kAlignment);
}

void delete_memory(void* memory, std::uint64_t bytes) noexcept {
  if constexpr (!kGuarded) return ::operator delete (memory, std::align_val_t{kAlignment});
  const std::uint64_t body = whole(bytes, page());
  std::byte* const all = static_cast<std::byte*>(memory) + whole(bytes, kAlignment) - body;
  ::mprotect(all + body, page(), PROT_READ | PROT_WRITE);
  ::operator delete (all, std::align_val_t{page()});
}

}  // namespace resnet::emulator

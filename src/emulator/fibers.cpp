#include "emulator/fibers.h"

#include <array>
#include <cstdint>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#if !defined(__x86_64__)
#error "the emulator switches stacks of x86-64 alone, as the rest of the library runs there"
#endif

// Saves the registers that a function preserves on this stack, and goes on with those of another.
extern "C" void resnet_emulator_switch(void** from, void* to);
asm(R"(
.text
.p2align 4
.globl resnet_emulator_switch
.hidden resnet_emulator_switch
.type resnet_emulator_switch, @function
resnet_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size resnet_emulator_switch, .-resnet_emulator_switch
)");

// Of a function that a fiber does not return from: ThreadSanitizer would count it as called for ever, on a
// stack of 65,536 calls.
#if defined(__SANITIZE_THREAD__)
#define RESNET_UNCOUNTED __attribute__((no_sanitize_thread))
#else
#define RESNET_UNCOUNTED
#endif

namespace resnet::emulator {
namespace {

constexpr std::size_t kStackBytes = 128 * 1024;  // sanitizers make frames large; untouched pages cost nothing
constexpr std::size_t kSavedRegisters = 6;
thread_local Fibers* running_fibers = nullptr;

}  // namespace

struct Fibers::Stack {
  std::unique_ptr<unsigned char[]> memory{new unsigned char[kStackBytes]};  // NOLINT: not to be filled
#if defined(__SANITIZE_THREAD__)
  void* tsan = __tsan_create_fiber(0);
  void* tsan_home = nullptr;
  ~Stack() {
    __tsan_destroy_fiber(tsan);
  }
#endif

  // A stack pointer from which resnet_emulator_switch returns into `entry`.
  void* prepared(void (*entry)()) const {
    unsigned char* top = memory.get() + kStackBytes;
    top -= reinterpret_cast<std::uintptr_t>(top) % 16;
    auto* const at = reinterpret_cast<std::uintptr_t*>(top) - 2;  // entry sees a stack as after a call
    at[1] = 0;
    at[0] = reinterpret_cast<std::uintptr_t>(entry);
    for (std::size_t i = 1; i <= kSavedRegisters; ++i) *(at - i) = 0;
    return at - kSavedRegisters;
  }
};

std::vector<std::unique_ptr<Fibers::Stack>>& Fibers::spare() {
  thread_local std::vector<std::unique_ptr<Stack>> stacks;
  return stacks;
}

Fibers::Fibers(int count, std::function<void(int)> body)
    : body_(std::move(body)), fibers_(static_cast<std::size_t>(count)) {}
Fibers::~Fibers() = default;

RESNET_UNCOUNTED void Fibers::begin() {
  Fibers& fibers = *running_fibers;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &fibers.home_bottom_, &fibers.home_bytes_);
#endif
  fibers.body_(fibers.running_);
  fibers.fibers_[static_cast<std::size_t>(fibers.running_)].ended = true;
  fibers.switch_home(true);
}

void Fibers::switch_to(Fiber& fiber) {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack->memory.get(), kStackBytes);
#endif
#if defined(__SANITIZE_THREAD__)
  fiber.stack->tsan_home = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(fiber.stack->tsan, 0);
#endif
  resnet_emulator_switch(&home_, fiber.at);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

RESNET_UNCOUNTED void Fibers::switch_home([[maybe_unused]] bool for_good) {
  Fiber& fiber = fibers_[static_cast<std::size_t>(running_)];
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, home_bottom_, home_bytes_);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(fiber.stack->tsan_home, 0);
#endif
  resnet_emulator_switch(&fiber.at, home_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, &home_bottom_, &home_bytes_);
#endif
}

void Fibers::resume(int number) {
  Fiber& fiber = fibers_[static_cast<std::size_t>(number)];
  if (fiber.ended) return;
  if (fiber.stack == nullptr) {
    if (spare().empty()) spare().push_back(std::make_unique<Stack>());
    fiber.stack = std::move(spare().back());
    spare().pop_back();
    fiber.at = fiber.stack->prepared(&Fibers::begin);
  }
  Fibers* const outer = std::exchange(running_fibers, this);
  running_ = number;
  switch_to(fiber);
  running_ = -1;
  running_fibers = outer;
  if (fiber.ended) spare().push_back(std::move(fiber.stack));
}

void Fibers::pause() {
  switch_home(false);
}

}  // namespace resnet::emulator

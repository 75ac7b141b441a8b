// Threads of a block as fibers: each runs until it waits or ends, on a stack of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace resnet::emulator {

/// Switches between the caller and any number of fibers, all in the thread that made it.
class Fibers {
 public:
  /// Every fiber calls body(number) once.
  Fibers(int count, std::function<void(int)> body);
  ~Fibers();
  Fibers(const Fibers&) = delete;
  Fibers& operator=(const Fibers&) = delete;

  /// Lets a fiber run until it calls pause() or ends. To be called from outside of all fibers.
  void resume(int number);
  /// To be called by a fiber: back to the caller of resume().
  void pause();
  bool ended(int number) const { return fibers_[static_cast<std::size_t>(number)].ended; }
  int running() const { return running_; }

 private:
  struct Stack;
  static std::vector<std::unique_ptr<Stack>>& spare();  // of this thread: blocks follow each other
  struct Fiber {
    std::unique_ptr<Stack> stack;  // while it has begun and has not ended
    void* at = nullptr;            // its stack pointer while it does not run
    bool ended = false;
  };
  static void begin();
  void switch_to(Fiber& fiber);
  void switch_home(bool for_good);

  std::function<void(int)> body_;
  std::vector<Fiber> fibers_;
  void* home_ = nullptr;
  int running_ = -1;
  // For the address sanitizer: where the caller's stack is.
  void* fake_ = nullptr;
  const void* home_bottom_ = nullptr;
  std::size_t home_bytes_ = 0;
};

}  // namespace resnet::emulator

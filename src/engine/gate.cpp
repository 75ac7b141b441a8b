#include "engine/gate.h"

#include <unistd.h>

#include <string>

namespace resnet::engine {

Error used_while_forked() {
  return Error("another thread used this engine when the process was forked",
               "fork while no call is under way, or make the engine in the child");
}

Gate::Pass::Pass(Gate& gate, const char* change) : gate_(gate), changes_(change != nullptr) {
  const pid_t self = ::getpid();
  pid_t other = 0;
  if (changes_ && !gate.changing_.compare_exchange_strong(other, self, std::memory_order_acquire)) {
    if (other != self) throw used_while_forked();
    throw Error(std::string(change) + ": another thread changes the state of this engine",
                "let one thread at a time call step(), gradients(), apply() and set_state()");
  }
  for (other = 0; !gate.inside_.compare_exchange_strong(other, self, std::memory_order_acquire); other = 0) {
    if (other != self) {
      if (changes_) gate.changing_.store(0, std::memory_order_relaxed);
      throw used_while_forked();
    }
    gate.inside_.wait(other, std::memory_order_relaxed);
  }
}

Gate::Pass::~Pass() {
  gate_.inside_.store(0, std::memory_order_release);
  gate_.inside_.notify_one();
  if (changes_) gate_.changing_.store(0, std::memory_order_release);
}

}  // namespace resnet::engine

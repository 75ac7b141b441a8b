// Who may call an engine when several threads do.
#pragma once

#include <sys/types.h>

#include <atomic>

#include "resnet/error.h"

namespace resnet::engine {

/// What a child of fork() is told where it cannot go on with what another thread of its parent was at.
Error used_while_forked();

/// Lets one call in at a time. A child of fork() has a copy; where a call was under way in the parent, the
/// child's copy of what it guards is half done, and nobody is let in.
class Gate {
 public:
  /// A call, from beginning to end.
  class [[nodiscard]] Pass {
   public:
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass();

   private:
    friend class Gate;
    Pass(Gate& gate, const char* change);

    Gate& gate_;
    bool changes_;
  };

  /// For a call that changes nothing: waits for its turn. Throws Error in a child as above.
  Pass read() { return {*this, nullptr}; }
  /// For the call `name`, which changes what is guarded. Throws Error if another thread's call does so too:
  /// in which order was never said.
  Pass change(const char* name) { return {*this, name}; }

 private:
  // The process whose thread is in, or wants to change something; 0: none.
  std::atomic<pid_t> inside_{0}, changing_{0};
};

}  // namespace resnet::engine

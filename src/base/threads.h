// Threads that an object starts for its own work and ends before its own end.
#pragma once

#include <sys/types.h>

#include <functional>
#include <thread>
#include <vector>

namespace resnet {

/// Threads of one owner, who tells them to return before he joins them. A child of fork() has a copy of this
/// object, but none of the threads: they are `lost` there, and not to be waited for.
class Threads {
 public:
  Threads() = default;
  ~Threads() = default;
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  /// Threads 0 to `count` - 1 run body(number), which must not throw; SIGINT, SIGTERM, SIGHUP and SIGUSR1
  /// go to others. If one cannot be started it throws IoError, and the owner has to join() those that run
  /// already.
  void start(int count, const std::function<void(int)>& body);
  /// Waits for the threads' end; forgets those that are lost.
  void join() noexcept;

  bool empty() const noexcept { return threads_.empty(); }
  /// Whether they are threads of the process that this one was forked from.
  bool lost() const noexcept;

 private:
  std::vector<std::thread> threads_;
  pid_t process_ = 0;  // whose threads they are
};

}  // namespace resnet

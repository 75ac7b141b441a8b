#include "base/threads.h"

#include <unistd.h>

#include <memory>
#include <new>
#include <string>
#include <system_error>

#include "base/signals.h"
#include "resnet/error.h"

namespace resnet {

void Threads::start(int count, const std::function<void(int)>& body) {
  process_ = ::getpid();
  const auto failed = [count](const char* why) {
    return IoError("cannot start " + std::to_string(count) + " more threads: " + why,
                   "use fewer threads, or raise `ulimit -u`");
  };
  const SignalsHeld held;  // the threads inherit it
  try {
    for (int i = 0; i < count; ++i) threads_.emplace_back([body, i] { body(i); });
  } catch (const std::system_error& error) {
    throw failed(error.what());
  } catch (const std::bad_alloc&) {
    throw failed("there is not enough memory");
  }
}

void Threads::join() noexcept {
  const bool gone = lost();
  for (std::thread& thread : threads_) {
    if (gone) {
      std::construct_at(&thread);  // to join or detach what is not there is undefined
    } else {
      thread.join();
    }
  }
  threads_.clear();
}

bool Threads::lost() const noexcept {
  return !threads_.empty() && process_ != ::getpid();
}

}  // namespace resnet

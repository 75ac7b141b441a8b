// How many requests a batcher has answered, for those who wait for it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace resnet::test {

class Answered {
 public:
  void count() noexcept {
    const std::scoped_lock lock(mutex_);
    ++count_;
    changed_.notify_one();
  }
  /// False where they are not so many after a time that is long for any test.
  bool wait_for(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(120), [&] { return count_ >= count; });
  }
  int all() {
    const std::scoped_lock lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

}  // namespace resnet::test

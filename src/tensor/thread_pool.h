// The threads of an engine. Tasks are numbered, and any thread may do any of them, so what a task computes
// must depend on its number alone. Each thread begins with a range of its own, the same part of every call:
// where tasks follow the order of images, it finds what it needs in its own caches. Who is done helps others.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/threads.h"

namespace resnet {

/// A fixed team: the calling thread and `threads - 1` workers, which sleep between calls. A call ends when
/// its tasks are done; it does not wait for workers that have taken none. One call at a time. Our own rather
/// than OpenMP's: see docs/decisions/0001-house.md.
class ThreadPool {
 public:
  /// Throws IoError if the workers cannot be started.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const noexcept { return static_cast<int>(ranges_.size()); }

  /// Starts the workers again in a child of fork(), which has none; it does nothing where they are. To be
  /// called before the child's first parallel_for. Throws IoError.
  void start();

  /// Calls body(task, thread) once for every task in [0, tasks), thread in [0, threads()); returns
  /// when all are done. Allocates nothing. `body` must not throw.
  template <class Body>
  void parallel_for(std::int64_t tasks, const Body& body) noexcept {
    static_assert(std::is_invocable_v<const Body&, std::int64_t, int>);
    run({tasks, &body,
         [](const void* b, std::int64_t task, int thread) { (*static_cast<const Body*>(b))(task, thread); }});
  }

 private:
  using Call = void (*)(const void*, std::int64_t, int);
  struct Job {
    std::int64_t tasks = 0;
    const void* body = nullptr;
    Call call = nullptr;
  };
  // What is left of a thread's range; others take from it too. `next` has the number of its call in its upper
  // half, so that a thread that comes late takes nothing of a call that it does not know.
  struct alignas(64) Range {
    std::atomic<std::uint64_t> next{0};
    std::atomic<std::uint32_t> end{0};
  };
  void run(const Job& job) noexcept;
  std::uint32_t take_tasks(const Job& job, std::uint32_t number, int thread) noexcept;
  static std::uint32_t take_from(Range& range, const Job& job, std::uint32_t number, int thread) noexcept;
  void stop() noexcept;
  void work(int thread) noexcept;

  std::atomic<const void*> body_{nullptr};
  std::atomic<Call> call_{nullptr};
  std::atomic<std::uint32_t> tasks_{0};
  std::vector<Range> ranges_;
  alignas(64) std::atomic<std::uint32_t> number_{0};  // of the call
  alignas(64) std::atomic<std::uint32_t> done_{0};    // its tasks that are done
  std::atomic<bool> stop_{false};
  int spins_ = 0;  // of a thread that waits, before it sleeps
  Threads workers_;
};

}  // namespace resnet

// The threads of an engine. Tasks are numbered, and any thread may do any of them, so what a task computes
// must depend on its number alone. Each thread begins with a range of its own, the same part of every call:
// where tasks follow the order of images, it finds what it needs in its own caches. Who is done helps others.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace resnet {

/// A fixed team: the calling thread and `threads - 1` workers, which sleep between calls.
/// One call at a time. Our own rather than OpenMP's: see docs/decisions/0001-house.md.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(task, thread) once for every task in [0, tasks), thread in [0, threads()); returns
  /// when all are done. Allocates nothing. `body` must not throw.
  template <class Body>
  void parallel_for(std::int64_t tasks, const Body& body) noexcept {
    static_assert(std::is_invocable_v<const Body&, std::int64_t, int>);
    run({tasks, &body,
         [](const void* b, std::int64_t task, int thread) { (*static_cast<const Body*>(b))(task, thread); }});
  }

 private:
  struct Job {
    std::int64_t tasks = 0;
    const void* body = nullptr;
    void (*call)(const void*, std::int64_t, int) = nullptr;
  };
  // What is left of a thread's range; others take from it too.
  struct alignas(64) Range {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };
  void run(const Job& job) noexcept;
  void take_tasks(int thread) noexcept;
  void take_from(Range& range, const Job& job, int thread) noexcept;
  void stop() noexcept;
  void work(int thread) noexcept;

  Job job_;
  std::vector<Range> ranges_;
  alignas(64) std::atomic<std::uint32_t> generation_{0};  // odd bits unused; a new value is a new job
  alignas(64) std::atomic<int> running_{0};               // workers still busy with this job
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace resnet

#include "tensor/thread_pool.h"

#include <algorithm>
#include <system_error>

#include "resnet/error.h"

namespace resnet {
namespace {

// A worker that waits spins this often before it sleeps: about 20 us, the gap between two kernel
// calls of a step, so that a futex call (5 to 50 us) is paid between steps only.
constexpr int kSpins = 2000;

// A thread takes tasks that follow each other, which often share data: a quarter of what is left of a range.
constexpr int kShares = 4;

template <class T>
void wait_while_equal(const std::atomic<T>& value, T old) noexcept {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    __builtin_ia32_pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) : ranges_(static_cast<std::size_t>(std::max(1, threads))) {
  try {
    for (int thread = 1; thread < std::max(1, threads); ++thread) {
      workers_.emplace_back([this, thread] { work(thread); });
    }
  } catch (const std::system_error& error) {
    stop();
    throw IoError("cannot start " + std::to_string(threads) + " threads: " + error.what(),
                  "use fewer threads");
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() noexcept {
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(const Job& job) noexcept {
  if (workers_.empty() || job.tasks <= 1) {
    for (std::int64_t task = 0; task < job.tasks; ++task) job.call(job.body, task, 0);
    return;
  }
  job_ = job;
  const auto count = static_cast<std::int64_t>(ranges_.size());
  for (std::int64_t i = 0; i < count; ++i) {
    Range& range = ranges_[static_cast<std::size_t>(i)];
    range.next.store(job.tasks * i / count, std::memory_order_relaxed);
    range.end = job.tasks * (i + 1) / count;
  }
  running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  take_tasks(0);
  for (int left = running_.load(std::memory_order_acquire); left != 0;
       left = running_.load(std::memory_order_acquire)) {
    wait_while_equal(running_, left);
  }
}

void ThreadPool::take_tasks(int thread) noexcept {
  const Job job = job_;
  const auto own = ranges_.begin() + thread;
  for (auto range = own; range != ranges_.end(); ++range) take_from(*range, job, thread);
  for (auto range = ranges_.begin(); range != own; ++range) take_from(*range, job, thread);
}

void ThreadPool::take_from(Range& range, const Job& job, int thread) noexcept {
  std::int64_t first = range.next.load(std::memory_order_relaxed);
  while (first < range.end) {
    const std::int64_t share = std::max<std::int64_t>(1, (range.end - first) / kShares);
    if (!range.next.compare_exchange_weak(first, first + share, std::memory_order_relaxed)) continue;
    for (std::int64_t task = first; task < first + share; ++task) job.call(job.body, task, thread);
    first = range.next.load(std::memory_order_relaxed);
  }
}

void ThreadPool::work(int thread) noexcept {
  std::uint32_t seen = 0;
  while (true) {
    wait_while_equal(generation_, seen);
    ++seen;
    if (stop_.load(std::memory_order_relaxed)) return;
    take_tasks(thread);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace resnet

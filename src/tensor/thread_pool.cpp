#include "tensor/thread_pool.h"

#include <algorithm>
#include <limits>

#include "base/machine.h"

namespace resnet {
namespace {

// A worker that waits spins this often before it sleeps: about 20 us, the gap between two kernel
// calls of a step, so that a futex call (5 to 50 us) is paid between steps only. Where there are more threads
// than cores it sleeps at once: another thread has work for its core.
constexpr int kSpins = 2000;

// A thread takes tasks that follow each other, which often share data: a quarter of what is left of a range.
constexpr int kShares = 4;

// What Range::next holds. A closed range has no task left.
constexpr std::uint32_t kClosed = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t place(std::uint32_t number, std::uint32_t task) noexcept {
  return std::uint64_t{number} << 32U | task;
}

template <class T>
void wait_while_equal(const std::atomic<T>& value, T old, int spins) noexcept {
  for (int i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    __builtin_ia32_pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : ranges_(static_cast<std::size_t>(std::max(1, threads))),
      spins_(threads <= usable_cores() ? kSpins : 0) {
  start();
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::start() {
  if (workers_.lost()) workers_.join();
  if (!workers_.empty() || threads() == 1) return;
  try {
    workers_.start(threads() - 1, [this](int worker) { work(worker + 1); });
  } catch (...) {
    stop();
    throw;
  }
}

void ThreadPool::stop() noexcept {
  stop_.store(true, std::memory_order_relaxed);
  number_.fetch_add(1, std::memory_order_release);
  number_.notify_all();
  workers_.join();
  stop_.store(false, std::memory_order_relaxed);
}

void ThreadPool::run(const Job& job) noexcept {
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (ranges_.size() == 1 || job.tasks <= 1 || job.tasks > kMost) {
    for (std::int64_t task = 0; task < job.tasks; ++task) job.call(job.body, task, 0);
    return;
  }
  const std::uint32_t number = number_.load(std::memory_order_relaxed) + 1;
  const auto tasks = static_cast<std::uint32_t>(job.tasks);
  // A worker may still look at the last call: whatever it reads of this one, its attempt to take a task by
  // the old number fails from here on, since what is stored below is stored with release and read with
  // acquire.
  for (Range& range : ranges_) range.next.store(place(number, kClosed), std::memory_order_relaxed);
  body_.store(job.body, std::memory_order_release);
  call_.store(job.call, std::memory_order_release);
  tasks_.store(tasks, std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  const auto count = static_cast<std::int64_t>(ranges_.size());
  for (std::int64_t i = 0; i < count; ++i) {
    Range& range = ranges_[static_cast<std::size_t>(i)];
    range.end.store(static_cast<std::uint32_t>(job.tasks * (i + 1) / count), std::memory_order_release);
    range.next.store(place(number, static_cast<std::uint32_t>(job.tasks * i / count)),
                     std::memory_order_release);
  }
  number_.store(number, std::memory_order_release);
  number_.notify_all();
  const std::uint32_t own = take_tasks(job, number, 0);
  std::uint32_t done = done_.fetch_add(own, std::memory_order_acq_rel) + own;
  for (; done != tasks; done = done_.load(std::memory_order_acquire)) wait_while_equal(done_, done, spins_);
}

// Gives the number of tasks that this thread has done.
std::uint32_t ThreadPool::take_tasks(const Job& job, std::uint32_t number, int thread) noexcept {
  const auto own = ranges_.begin() + thread;
  std::uint32_t done = 0;
  for (auto range = own; range != ranges_.end(); ++range) done += take_from(*range, job, number, thread);
  for (auto range = ranges_.begin(); range != own; ++range) done += take_from(*range, job, number, thread);
  return done;
}

std::uint32_t ThreadPool::take_from(Range& range, const Job& job, std::uint32_t number, int thread) noexcept {
  std::uint32_t done = 0;
  std::uint64_t next = range.next.load(std::memory_order_acquire);
  while (true) {
    const auto first = static_cast<std::uint32_t>(next);
    const std::uint32_t end = range.end.load(std::memory_order_acquire);
    if (static_cast<std::uint32_t>(next >> 32U) != number || first >= end) return done;
    const std::uint32_t share = std::max<std::uint32_t>(1, (end - first) / kShares);
    if (!range.next.compare_exchange_weak(next, next + share, std::memory_order_acq_rel,
                                          std::memory_order_acquire))
      continue;
    for (std::uint32_t task = first; task < first + share; ++task) job.call(job.body, task, thread);
    done += share;
    next = range.next.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) noexcept {
  std::uint32_t seen = 0;
  while (true) {
    wait_while_equal(number_, seen, spins_);
    seen = number_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    // Of this call, or of a later one, whose tasks cannot be taken by this number.
    const Job job = {.tasks = tasks_.load(std::memory_order_acquire),
                     .body = body_.load(std::memory_order_acquire),
                     .call = call_.load(std::memory_order_acquire)};
    const std::uint32_t done = take_tasks(job, seen, thread);
    if (done == 0) continue;
    if (done_.fetch_add(done, std::memory_order_acq_rel) + done == job.tasks) done_.notify_one();
  }
}

}  // namespace resnet

#include "tensor/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "support/in_child.h"

namespace resnet {
namespace {

// Counts how often each task runs, and sees to it that no two threads share a number at one time.
void expect_each_task_once(ThreadPool& pool, std::int64_t tasks) {
  std::vector<std::atomic<int>> calls(static_cast<std::size_t>(tasks));
  std::vector<std::atomic<int>> busy(static_cast<std::size_t>(pool.threads()));
  std::atomic<bool> in_range{true};
  std::atomic<bool> alone{true};
  pool.parallel_for(tasks, [&](std::int64_t task, int thread) {
    if (task < 0 || task >= tasks || thread < 0 || thread >= pool.threads()) {
      in_range = false;
      return;
    }
    std::atomic<int>& mine = busy[static_cast<std::size_t>(thread)];
    if (mine.fetch_add(1) != 0) alone = false;
    calls[static_cast<std::size_t>(task)].fetch_add(1, std::memory_order_relaxed);
    mine.fetch_sub(1);
  });
  EXPECT_TRUE(in_range);
  EXPECT_TRUE(alone) << "two threads had one number at a time";
  for (std::int64_t task = 0; task < tasks; ++task) {
    ASSERT_EQ(calls[static_cast<std::size_t>(task)].load(), 1)
        << "task " << task << " of " << tasks << ", " << pool.threads() << " threads";
  }
}

TEST(ThreadPool, RunsEveryTaskOnceForAnyNumberOfThreads) {
  for (int threads = 1; threads <= 8; ++threads) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const std::int64_t tasks : {0, 1, 2, 3, 7, 8, 9, 100, 10000}) expect_each_task_once(pool, tasks);
  }
}

TEST(ThreadPool, RunsWithMoreThreadsThanCores) {
  ThreadPool pool(64);
  for (int i = 0; i < 20; ++i) expect_each_task_once(pool, 1000);
}

TEST(ThreadPool, IsTheCallerAloneForLessThanTwoThreads) {
  for (const int threads : {-1, 0, 1}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), 1);
    const auto caller = std::this_thread::get_id();
    pool.parallel_for(10, [&](std::int64_t, int thread) {
      EXPECT_EQ(thread, 0);
      EXPECT_EQ(std::this_thread::get_id(), caller);
    });
  }
}

// Also with more threads than cores, most of which come late to every call.
TEST(ThreadPool, EndsAHundredThousandShortCalls) {
  for (const int threads : {2, 7}) {
    ThreadPool pool(threads);
    std::atomic<std::int64_t> tasks{0};
    for (int call = 0; call < 100000; ++call) {
      pool.parallel_for(call % 3, [&](std::int64_t, int) { tasks.fetch_add(1, std::memory_order_relaxed); });
    }
    EXPECT_EQ(tasks.load(), 99999) << "0 + 1 + 2 + 0 + ... over 100,000 calls";
  }
}

TEST(ThreadPool, MakesWhatTasksWroteVisibleToTheCallerAndTheNextCall) {
  ThreadPool pool(4);
  // Not atomic: the pool must order the accesses, those of one call after those of the one before.
  std::vector<std::int64_t> values(1000);
  std::vector<std::int64_t> before(1000);
  for (int round = 1; round <= 200; ++round) {
    values.swap(before);
    pool.parallel_for(1000, [&](std::int64_t task, int) {
      const auto i = static_cast<std::size_t>(task);
      values[i] = before[(i * 7 + 1) % 1000] + 1;  // most likely another thread's
    });
    for (const std::int64_t value : values) ASSERT_EQ(value, round);
  }
}

TEST(ThreadPool, GivesEachThreadTheSamePartOfEveryCall) {
  constexpr int kThreads = 4;
  ThreadPool pool(kThreads);
  for (int call = 0; call < 50; ++call) {
    std::atomic<int> begun{0};
    std::vector<int> by(kThreads, -1);
    pool.parallel_for(kThreads, [&](std::int64_t task, int thread) {
      by[static_cast<std::size_t>(task)] = thread;
      begun.fetch_add(1);
      while (begun.load() < kThreads) std::this_thread::yield();  // nobody is done, nobody helps
    });
    EXPECT_EQ(by, (std::vector<int>{0, 1, 2, 3}));
  }
}

TEST(ThreadPool, HelpsAThreadThatIsLate) {
  ThreadPool pool(2);
  for (int call = 0; call < 50; ++call) {
    std::atomic<int> done{0};
    std::vector<int> by(4, -1);
    pool.parallel_for(4, [&](std::int64_t task, int thread) {
      by[static_cast<std::size_t>(task)] = thread;
      while (task == 0 && done.load() < 3) std::this_thread::yield();
      done.fetch_add(1);
    });
    EXPECT_NE(by[1], by[0]) << "task 1 would wait for ever behind task 0";
  }
}

// Whoever has nothing to do, be it the caller or a worker, takes no processor time for long.
TEST(ThreadPool, WaitsAsleep) {
  const auto milliseconds = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto in_ms = [](const timeval& t) {
      return 1e3 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_usec);
    };
    return in_ms(usage.ru_utime) + in_ms(usage.ru_stime);
  };
  for (const int threads : {2, 8}) {
    ThreadPool pool(threads);
    const double before = milliseconds();
    pool.parallel_for(2, [](std::int64_t task, int) {
      if (task == 1) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_LT(milliseconds() - before, 20) << threads << " threads that wait for 100 and 50 ms";
  }
}

TEST(ThreadPool, StartsItsWorkersAgainInAChild) {
  RESNET_SKIP_WHERE_A_CHILD_HAS_NO_THREADS();
  ThreadPool pool(3);
  const auto runs_on_all = [&] {
    std::atomic<int> begun{0};
    pool.start();
    pool.parallel_for(3, [&](std::int64_t, int) {
      begun.fetch_add(1);
      while (begun.load() < 3) std::this_thread::yield();
    });
    return begun == 3;
  };
  EXPECT_TRUE(runs_on_all());
  EXPECT_EQ(test::in_child(runs_on_all), test::Child::held);
  EXPECT_EQ(test::in_child([&] { return runs_on_all() && test::in_child(runs_on_all) == test::Child::held; }),
            test::Child::held)
      << "in a child of the child";
  EXPECT_TRUE(runs_on_all());
}

TEST(ThreadPool, OfAParentEndsInAChild) {
  auto pool = std::make_unique<ThreadPool>(3);
  EXPECT_EQ(test::in_child([&] {
              pool.reset();
              return true;
            }),
            test::Child::held);
}

TEST(ThreadPool, CanBeMadeAndDestroyedOftenAndUnused) {
  for (int i = 0; i < 500; ++i) ThreadPool pool(1 + i % 5);
}

}  // namespace
}  // namespace resnet

// The arena and the executor, with kernels that only note what they are given.
#include "exec/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <thread>

namespace resnet {
namespace {

using kernels::Call;

constexpr std::int64_t kLine = 64;  // bytes; what buffers are aligned to

// A kernel whose phases have so many tasks and whose tasks do `body`.
class FakeKernel final : public kernels::Kernel {
 public:
  using Body = std::function<void(const Call& call, int phase, std::int64_t task)>;
  FakeKernel(std::vector<std::int64_t> tasks, Body body, std::int64_t scratch = 0)
      : tasks_(std::move(tasks)), body_(std::move(body)), scratch_(scratch) {}

  std::string_view name() const noexcept override { return "fake"; }
  std::int64_t scratch_bytes() const noexcept override { return scratch_; }
  int phases() const noexcept override { return static_cast<int>(tasks_.size()); }
  std::int64_t tasks(int phase) const noexcept override { return tasks_.at(static_cast<std::size_t>(phase)); }
  void run(const Call& call, int phase, std::int64_t task) const noexcept override {
    body_(call, phase, task);
  }

 private:
  std::vector<std::int64_t> tasks_;
  Body body_;
  std::int64_t scratch_;
};

plan::Buffer buffer(plan::Region region, std::int64_t offset, std::int64_t bytes) {
  plan::Buffer result;
  result.region = region;
  result.offset = offset;
  result.bytes = bytes;
  return result;
}

void add_call(plan::Plan& plan, std::vector<std::int64_t> tasks, FakeKernel::Body body,
              std::vector<int> operands, int workspace = -1) {
  plan::Call call;
  call.kernel = std::make_shared<FakeKernel>(std::move(tasks), std::move(body), plan.scratch_bytes);
  call.operands = std::move(operands);
  call.workspace = workspace;
  plan.calls.push_back(std::move(call));
}

bool is_aligned(const std::byte* p) {
  return reinterpret_cast<std::uintptr_t>(p) % kLine == 0;
}

void pause() {
  std::this_thread::sleep_for(std::chrono::microseconds(200));
}

TEST(Arena, KeepsItsStateWhereItGrowsAndNewStateIsZero) {
  exec::Arena arena(1);
  EXPECT_TRUE(arena.reserve(kLine, 0, 0));
  std::memset(arena.state(), 7, kLine);
  EXPECT_TRUE(arena.reserve(4 * kLine, 0, 0));
  EXPECT_TRUE(is_aligned(arena.state()));
  for (std::int64_t i = 0; i < 4 * kLine; ++i) {
    ASSERT_EQ(std::to_integer<int>(arena.state()[i]), i < kLine ? 7 : 0) << i;
  }
}

TEST(Arena, MovesNothingForWhatIsAlreadyThere) {
  exec::Arena arena(2);
  arena.reserve(2 * kLine, 3 * kLine, kLine);
  const std::byte* const state = arena.state();
  const std::byte* const work = arena.work();
  const std::byte* const scratch = arena.scratch(1);
  EXPECT_FALSE(arena.reserve(2 * kLine, 3 * kLine, kLine));
  EXPECT_FALSE(arena.reserve(kLine, 0, 0));
  EXPECT_EQ(arena.state(), state);
  EXPECT_EQ(arena.work(), work);
  EXPECT_EQ(arena.scratch(1), scratch);
}

// Work is void between runs: growing it frees the old memory before the new one comes, and leaves state and
// scratch where they are.
TEST(Arena, HoldsWorkOnce) {
  exec::Arena arena(1);
  arena.reserve(kLine, 100 * kLine, kLine);
  std::memset(arena.state(), 7, kLine);
  const std::byte* const state = arena.state();
  const std::byte* const scratch = arena.scratch(0);
  EXPECT_TRUE(arena.reserve(kLine, 200 * kLine, kLine));
  EXPECT_EQ(arena.bytes(), (1 + 200 + 1) * kLine);
  EXPECT_EQ(arena.state(), state);
  EXPECT_EQ(arena.scratch(0), scratch);
  EXPECT_EQ(std::to_integer<int>(arena.state()[kLine - 1]), 7);
}

TEST(Arena, GivesEveryThreadWholeLinesOfScratch) {
  constexpr int kThreads = 3;
  constexpr std::int64_t kBytes = 100;  // not whole lines
  exec::Arena arena(kThreads);
  EXPECT_TRUE(arena.reserve(0, 0, kBytes));
  for (int t = 0; t < kThreads; ++t) {
    EXPECT_TRUE(is_aligned(arena.scratch(t)));
    if (t > 0) EXPECT_GE(arena.scratch(t) - arena.scratch(t - 1), kBytes);
  }
  EXPECT_GE(arena.bytes(), arena.scratch(kThreads - 1) - arena.scratch(0) + kBytes);
}

TEST(Executor, GivesACallItsOperandsAndWorkspaceAndNullForAnAbsentOne) {
  plan::Plan plan;
  plan.buffers = {buffer(plan::Region::state, kLine, kLine), buffer(plan::Region::work, 0, kLine),
                  buffer(plan::Region::work, 2 * kLine, kLine)};
  std::vector<Call> seen;
  std::vector<void*> operands;
  add_call(
      plan, {1},
      [&](const Call& call, int, std::int64_t) {
        seen.push_back(call);
        operands.assign(call.operands, call.operands + 3);
      },
      {1, -1, 0}, 2);
  plan.inputs = {{"images", Shape{2, 8}, DType::f32, 1}};
  exec::Executor executor(std::move(plan));
  exec::Arena arena(1);
  arena.reserve(2 * kLine, 3 * kLine, 0);
  executor.bind(arena);
  ThreadPool pool(1);
  executor.run(pool);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(operands, (std::vector<void*>{arena.work(), nullptr, arena.state() + kLine}));
  EXPECT_EQ(seen[0].workspace, arena.work() + 2 * kLine);
  EXPECT_EQ(executor.data(*executor.plan().input("images")), arena.work());
}

// Without the wait between phases and calls a thread would read what another has not yet written: the last
// tasks of a phase take longest.
TEST(Executor, EndsAPhaseBeforeTheNextAndACallBeforeTheNext) {
  constexpr std::int64_t kTasks = 8;
  plan::Plan plan;
  const std::int64_t bytes = kTasks * kLine;
  for (int i = 0; i < 3; ++i) plan.buffers.push_back(buffer(plan::Region::work, i * bytes, bytes));
  const auto sum = [](const std::int64_t* values) {
    return std::accumulate(values, values + kTasks, std::int64_t{0});
  };
  add_call(plan, {kTasks, kTasks},
           [&](const Call& call, int phase, std::int64_t task) {
             if (task >= kTasks - 2) pause();
             if (phase == 0) {
               call.operand<std::int64_t>(0)[task] += task + 1;
             } else {
               call.operand<std::int64_t>(1)[task] = sum(call.operand<std::int64_t>(0));
             }
           },
           {0, 1});
  add_call(plan, {kTasks},
           [&](const Call& call, int, std::int64_t task) {
             call.operand<std::int64_t>(1)[task] = sum(call.operand<std::int64_t>(0));
           },
           {1, 2});
  plan.outputs = {{"sums", Shape{kTasks}, DType::i64, 2}};
  exec::Executor executor(std::move(plan));
  exec::Arena arena(4);
  arena.reserve(0, 3 * bytes, 0);
  executor.bind(arena);
  std::memset(arena.work(), 0, static_cast<std::size_t>(3 * bytes));
  ThreadPool pool(4);
  const auto* const sums =
      reinterpret_cast<const std::int64_t*>(executor.data(*executor.plan().output("sums")));
  for (std::int64_t run = 1; run <= 20; ++run) {
    executor.run(pool);
    for (std::int64_t i = 0; i < kTasks; ++i) {
      ASSERT_EQ(sums[i], run * kTasks * kTasks * (kTasks + 1) / 2) << "run " << run << ", task " << i;
    }
  }
}

TEST(Executor, GivesATaskTheScratchOfItsThreadAlone) {
  constexpr std::int64_t kTasks = 64;
  plan::Plan plan;
  plan.scratch_bytes = kLine;
  plan.buffers = {buffer(plan::Region::work, 0, kTasks * 8)};
  add_call(plan, {kTasks},
           [](const Call& call, int, std::int64_t task) {
             std::memcpy(call.scratch, &task, sizeof task);
             pause();  // others write meanwhile
             std::memcpy(call.operand<std::int64_t>(0) + task, call.scratch, sizeof task);
           },
           {0});
  exec::Executor executor(std::move(plan));
  exec::Arena arena(4);
  arena.reserve(0, kTasks * 8, kLine);
  executor.bind(arena);
  ThreadPool pool(4);
  executor.run(pool);
  for (std::int64_t i = 0; i < kTasks; ++i) {
    ASSERT_EQ(reinterpret_cast<const std::int64_t*>(arena.work())[i], i);
  }
}

TEST(Executor, GoesOnWithItsStateWhereTheArenaHasMoved) {
  plan::Plan plan;
  plan.buffers = {buffer(plan::Region::state, 0, kLine), buffer(plan::Region::work, 0, kLine)};
  add_call(plan, {1},
           [](const Call& call, int, std::int64_t) {
             call.operand<std::int64_t>(1)[0] = ++call.operand<std::int64_t>(0)[0];
           },
           {0, 1});
  plan.outputs = {{"count", Shape{1}, DType::i64, 1}};
  exec::Executor executor(std::move(plan));
  exec::Arena arena(1);
  ThreadPool pool(1);
  for (std::int64_t run = 1; run <= 5; ++run) {
    ASSERT_TRUE(arena.reserve(run * kLine, run * kLine, 0));
    executor.bind(arena);
    executor.run(pool);
    const std::byte* const count = executor.data(*executor.plan().output("count"));
    EXPECT_EQ(count, arena.work());
    EXPECT_EQ(*reinterpret_cast<const std::int64_t*>(count), run);
  }
}

TEST(Executor, AddsTheSecondsOfEachCallToItsNumber) {
  plan::Plan plan;
  std::vector<int> order;
  constexpr auto kSleep = std::chrono::milliseconds(20);
  add_call(plan, {1}, [&](const Call&, int, std::int64_t) { order.push_back(0); }, {});
  add_call(plan, {1},
           [&](const Call&, int, std::int64_t) {
             order.push_back(1);
             std::this_thread::sleep_for(kSleep);
           },
           {});
  exec::Executor executor(std::move(plan));
  exec::Arena arena(1);
  executor.bind(arena);
  ThreadPool pool(1);
  std::vector<double> seconds = {100, 1000};
  executor.run(pool, seconds.data());
  executor.run(pool, seconds.data());
  executor.run(pool);  // untimed
  EXPECT_EQ(order, (std::vector<int>{0, 1, 0, 1, 0, 1}));
  EXPECT_GE(seconds[1], 1000.04);
  EXPECT_LT(seconds[1], 1100);  // however busy the machine is
}

}  // namespace
}  // namespace resnet

// Which tasks an executor runs, and when: those that prepare something from the state once, all others in
// every run.
#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "exec/executor.h"

namespace resnet::exec {
namespace {

// Prepares twice its constant in task 0 of phase 0; then adds that to x, in a phase of its own.
class Doubler final : public kernels::Kernel {
 public:
  explicit Doubler(std::int64_t workspace) : workspace_(workspace) {}
  std::string_view name() const noexcept override { return "doubler"; }
  std::int64_t prepared_bytes() const noexcept override { return sizeof(float); }
  std::int64_t prepare_tasks() const noexcept override { return 1; }
  bool prepares_from(std::size_t operand) const noexcept override { return operand == 1; }
  std::int64_t workspace_bytes() const noexcept override { return workspace_; }
  int phases() const noexcept override { return 2; }
  std::int64_t tasks(int) const noexcept override { return 1; }
  void run(const kernels::Call& call, int phase, std::int64_t) const noexcept override {
    auto* const prepared = reinterpret_cast<float*>(call.prepared);
    if (phase == 0) {
      *prepared = 2 * *call.operand<const float>(1);
      ++prepared_;
    } else {
      *call.operand<float>(2) = *call.operand<const float>(0) + *prepared;
      ++added_;
      workspace_at_ = call.workspace - call.prepared;
    }
  }
  int prepared() const { return prepared_; }
  int added() const { return added_; }
  std::ptrdiff_t workspace_at() const { return workspace_at_; }  // from what is prepared

 private:
  std::int64_t workspace_;
  mutable std::atomic<int> prepared_{0}, added_{0};
  mutable std::ptrdiff_t workspace_at_ = 0;
};

enum BufferOf : std::uint8_t { kState, kX, kY, kTable, kPrepared, kWorkspace };

// y = x + 2 * constant, where the constant is the state; `kept`: what the kernel prepares is kept from run to
// run; `by_call`: the state's double is made by a call of its own, and that is the constant.
plan::Plan plan_of(const std::shared_ptr<const Doubler>& kernel, bool kept,
                   const std::shared_ptr<const Doubler>& by_call = nullptr) {
  using plan::Region;
  plan::Plan plan;
  plan.buffers = {{Region::state, 0, 4},      {Region::work, 0, 4},      {Region::work, 64, 4},
                  {Region::prepared, 64, 64}, {Region::prepared, 0, 64}, {Region::work, 128, 128}};
  if (by_call != nullptr) {
    plan::Call call;
    call.kernel = by_call;
    call.operands = {kState, kState, kTable};
    call.workspace = kWorkspace;
    call.constant = true;
    plan.calls.push_back(call);
  }
  plan::Call call;
  call.kernel = kernel;
  call.operands = {kX, by_call != nullptr ? kTable : kState, kY};
  call.prepared = kept ? kPrepared : -1;
  call.workspace = kWorkspace;
  plan.calls.push_back(call);
  plan.state_bytes = 64;
  plan.work_bytes = 256;
  plan.prepared_bytes = 128;
  return plan;
}

class ExecutorOfConstants : public testing::Test {
 protected:
  void bind(Executor& executor) {
    const plan::Plan& plan = executor.plan();
    arena_.reserve(plan.state_bytes, plan.work_bytes + plan.prepared_bytes, plan.scratch_bytes);
    executor.bind(arena_);
  }
  void set_state(float value) {
    *reinterpret_cast<float*>(arena_.state()) = value;
    arena_.state_has_changed();
  }
  float run(const Executor& executor, float x) {
    *reinterpret_cast<float*>(arena_.work()) = x;
    executor.run(pool_);
    return *reinterpret_cast<float*>(arena_.work() + 64);
  }

  ThreadPool pool_{2};
  Arena arena_{2};
  std::shared_ptr<const Doubler> kernel_ = std::make_shared<Doubler>(64);
};

TEST_F(ExecutorOfConstants, KeepsWhatIsPreparedUntilTheStateChanges) {
  Executor executor(plan_of(kernel_, true));
  bind(executor);
  set_state(3);
  EXPECT_EQ(run(executor, 1), 7);
  EXPECT_EQ(run(executor, 2), 8);
  EXPECT_EQ(kernel_->prepared(), 1);
  set_state(10);
  EXPECT_EQ(run(executor, 1), 21);
  EXPECT_EQ(run(executor, 1), 21);
  EXPECT_EQ(kernel_->prepared(), 2);
  EXPECT_EQ(kernel_->added(), 4);
}

TEST_F(ExecutorOfConstants, PreparesInEveryRunInFrontOfTheWorkspaceWhatIsNotKept) {
  Executor executor(plan_of(kernel_, false));
  bind(executor);
  set_state(3);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(run(executor, 1), 7);
    EXPECT_EQ(kernel_->prepared(), i);
  }
  EXPECT_EQ(kernel_->workspace_at(), 64);
}

TEST_F(ExecutorOfConstants, PreparesAgainBehindTheRunOfAnotherPlan) {
  const auto other_kernel = std::make_shared<const Doubler>(64);
  Executor executor(plan_of(kernel_, true)), other(plan_of(other_kernel, true));
  bind(executor);
  bind(other);
  set_state(3);
  EXPECT_EQ(run(executor, 1), 7);
  EXPECT_EQ(run(other, 2), 8);
  EXPECT_EQ(run(executor, 1), 7);
  EXPECT_EQ(kernel_->prepared(), 2);
  EXPECT_EQ(run(executor, 5), 11);
  EXPECT_EQ(kernel_->prepared(), 2);
}

TEST_F(ExecutorOfConstants, RunsAConstantCallWhenTheStateHasChangedOnly) {
  const auto table = std::make_shared<const Doubler>(64);
  Executor executor(plan_of(kernel_, true, table));
  bind(executor);
  set_state(3);  // the table is 9
  EXPECT_EQ(run(executor, 1), 19);
  EXPECT_EQ(run(executor, 2), 20);
  EXPECT_EQ(table->added(), 1);
  set_state(1);
  EXPECT_EQ(run(executor, 1), 7);
  EXPECT_EQ(table->added(), 2);
  EXPECT_EQ(kernel_->prepared(), 2);
}

}  // namespace
}  // namespace resnet::exec

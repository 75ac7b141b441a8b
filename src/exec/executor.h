// Runs a Plan out of one arena; decides nothing.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "plan/plan.h"
#include "tensor/nonfinite.h"
#include "tensor/thread_pool.h"

namespace resnet::exec {

class Executor;

/// The memory of an engine: state, work that all its plans share, and scratch for each thread. It
/// only grows, and only while plans are made. What a plan has prepared stands behind its own work, so it is
/// void as soon as another plan runs.
class Arena {
 public:
  explicit Arena(int threads) : threads_(threads) {}
  /// With the state of another, which stays as it is as long as this one is used.
  Arena(int threads, const Arena& state) : threads_(threads), shared_(&state) {}

  /// Makes room; state keeps its content and new state is zero. Gives true if anything moved.
  bool reserve(std::int64_t state_bytes, std::int64_t work_bytes, std::int64_t scratch_bytes);

  /// To be called whenever the state is changed by anything but a plan.
  void state_has_changed() noexcept { prepared_by_ = nullptr; }
  /// Whether what an executor has prepared still stands here, and follows from the state.
  bool is_prepared_by(const Executor& executor) const noexcept { return prepared_by_ == &executor; }
  /// To be called at every run: it takes the work memory over.
  void run_by(const Executor& executor) noexcept { prepared_by_ = &executor; }

  std::byte* state() const noexcept { return shared_ != nullptr ? shared_->state() : state_.data(); }
  std::byte* work() const noexcept { return work_.data(); }
  std::byte* scratch(int thread) const noexcept {
    return scratch_.data() + static_cast<std::int64_t>(thread) * scratch_stride_;
  }
  std::int64_t bytes() const noexcept {
    return static_cast<std::int64_t>(state_.size() + work_.size() + scratch_.size());
  }
  /// Bytes that reserve() would take at the most at a time, besides what is there.
  std::int64_t growth(std::int64_t state_bytes, std::int64_t work_bytes,
                      std::int64_t scratch_bytes) const noexcept;

 private:
  int threads_;
  const Arena* shared_ = nullptr;
  AlignedBuffer state_, work_, scratch_;
  std::int64_t scratch_stride_ = 0;
  const Executor* prepared_by_ = nullptr;
};

/// A plan bound to an arena: every address is known.
class Executor {
 public:
  explicit Executor(plan::Plan plan) : Executor(std::make_shared<const plan::Plan>(std::move(plan))) {}
  /// Executors on arenas of their own may share a plan, and run at the same time.
  explicit Executor(std::shared_ptr<const plan::Plan> plan) : plan_(std::move(plan)) {}

  const plan::Plan& plan() const noexcept { return *plan_; }
  /// Takes the arena's addresses; again whenever they have moved. With `prepared`, an address for each buffer
  /// of the plan, those of Region::prepared lie there, outside the arena: prepare() fills them, no run does.
  /// Throws ConfigError for a plan of another machine than the CPU.
  void bind(Arena& arena, std::span<std::byte* const> prepared = {});
  /// Forgets them.
  void unbind() noexcept { arena_ = nullptr; }
  bool is_bound() const noexcept { return arena_ != nullptr; }
  /// Makes of the state what the plan keeps of it.
  void prepare(ThreadPool& pool) const noexcept;
  /// Runs all calls in order, behind the preparations that are not kept from the last run. Allocates nothing.
  /// Where `seconds` is given, one number a call, the wall time of each is added to its number.
  void run(ThreadPool& pool, double* seconds = nullptr) const noexcept;
  /// Whether the updates of the last run were (kernels::Call::nonfinite).
  bool finite() const noexcept { return !nonfinite_.load(std::memory_order_relaxed); }

  /// What a call wrote that is not finite.
  struct Found {
    std::size_t call = 0;
    NonFiniteKind kind = NonFiniteKind::none;
  };
  /// As run(), but it looks at all that each call has written, and ends at the first where something is not
  /// finite.
  std::optional<Found> run_until_nonfinite(ThreadPool& pool) const noexcept;

  /// The memory of an input or output.
  std::byte* data(const plan::Slot& slot) const noexcept {
    return addresses_[static_cast<std::size_t>(slot.buffer)];
  }

 private:
  // The tasks of a phase from `first` to before `end`.
  void run_tasks(ThreadPool& pool, std::size_t call, int phase, std::int64_t first,
                 std::int64_t end) const noexcept;
  void run_phases(ThreadPool& pool, std::size_t call) const noexcept;
  void prepare_if_needed(ThreadPool& pool) const noexcept;

  std::shared_ptr<const plan::Plan> plan_;
  Arena* arena_ = nullptr;
  bool prepared_outside_ = false;
  std::vector<std::byte*> addresses_;  // of buffers
  std::vector<void*> operands_;        // of all calls, one after the other
  std::vector<kernels::Call> calls_;   // without scratch
  mutable std::atomic<bool> nonfinite_{false};
};

}  // namespace resnet::exec

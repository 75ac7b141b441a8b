// Runs a Plan on a device: its launches, captured as a graph.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "gpu/copies.h"
#include "gpu/device.h"
#include "gpu/updates.h"
#include "plan/plan.h"
#include "tensor/nonfinite.h"

namespace resnet::gpu {

class Executor;

/// The device's memory of an engine: state, and work that all its plans share. It only grows, and only while
/// plans are made.
class Arena {
 public:
  explicit Arena(Device& device) : device_(device) {}

  /// Makes room; state keeps its content and new state is zero. Gives true if anything moved.
  bool reserve(std::int64_t state_bytes, std::int64_t work_bytes);
  /// What reserve() takes at most; state is copied, so that old and new exist at once.
  std::int64_t growth(std::int64_t state_bytes, std::int64_t work_bytes) const noexcept {
    return (state_bytes > state_.bytes() ? state_bytes : 0) +
           std::max<std::int64_t>(0, work_bytes - work_.bytes());
  }
  std::byte* state() const noexcept { return state_.data(); }
  std::byte* work() const noexcept { return work_.data(); }
  std::int64_t work_bytes() const noexcept { return work_.bytes(); }
  std::int64_t bytes() const noexcept { return state_.bytes() + work_.bytes(); }

  /// As exec::Arena has them: what a plan has made of the state stands behind its work.
  void state_has_changed() noexcept { prepared_by_ = nullptr; }
  bool is_prepared_by(const Executor& executor) const noexcept { return prepared_by_ == &executor; }
  void run_by(const Executor& executor) noexcept { prepared_by_ = &executor; }

 private:
  Device& device_;
  Memory state_, work_;
  const Executor* prepared_by_ = nullptr;
};

/// A plan bound to an arena: every launch is known.
class Executor {
 public:
  /// Throws ConfigError for a plan of another target.
  Executor(plan::Plan plan, Device& device);

  const plan::Plan& plan() const noexcept { return plan_; }
  /// Takes the arena's addresses; again whenever they have moved.
  void bind(Arena& arena);
  void unbind() noexcept { arena_ = nullptr; }
  bool is_bound() const noexcept { return arena_ != nullptr; }
  /// Bytes of the device that bind() takes besides the arena and has not taken yet.
  std::int64_t missing_bytes() const noexcept { return besides_ - copies_.placed_bytes() - updates_.bytes(); }

  /// Asks for all calls in order, and comes back before they are done. Throws Error if the device fails.
  void run();
  /// The same launches, but in no graph; what each call took by the device's clock is added to its number.
  /// What one launch does for several calls is theirs by the bytes that they move. Gives what the copies of
  /// weights took, which are no call's.
  double run_timed(std::vector<double>& seconds);
  /// Bytes that these copies move in every run; 0: it makes none.
  std::int64_t copied_bytes() const { return updates_state_ ? copies_.moved_bytes() : 0; }
  /// Whether the updates and statistics of the last run were. Waits for it.
  bool finite();

  /// What a call wrote that is not finite.
  struct Found {
    std::size_t call = 0;
    NonFiniteKind kind = NonFiniteKind::none;
  };
  /// As run(), but it looks at all that each call has written, and ends at the first where something is not
  /// finite.
  std::optional<Found> run_until_nonfinite();

  /// An input or an output, on the device.
  std::byte* data(const plan::Slot& slot) const noexcept {
    return addresses_[static_cast<std::size_t>(slot.buffer)];
  }
  static std::int64_t bytes_of(const plan::Slot& slot) {
    return slot.shape.elements() * static_cast<std::int64_t>(size_of(slot.dtype));
  }
  /// What finite() looks at, on the device: 0, or another number.
  const std::int32_t* mark() const noexcept {
    return reinterpret_cast<const std::int32_t*>(constants_.data());
  }

 private:
  void place(std::byte* state, std::byte* work);
  std::vector<std::vector<Work>> work_of_calls(Copies& copies) const;
  std::vector<Work> work_of_run();
  void launch_call(std::size_t call);
  void launch_copies();
  void launch_all();
  void prepare();

  plan::Plan plan_;
  Device& device_;
  std::vector<const Kernel*> kernels_;  // of the plan's calls
  std::vector<std::int64_t> constants_at_;
  Memory constants_;  // of all kernels, behind the mark of what is not finite
  Arena* arena_ = nullptr;
  std::vector<std::byte*> addresses_;  // of buffers
  bool updates_state_ = false;
  Copies copies_;  // of weights, made in every run that updates them, else when they change
  std::vector<std::vector<Work>> work_;  // of calls
  std::vector<std::size_t> asked_by_;    // of all work of a run: the call
  std::vector<Merged> merged_;           // the same, with the updates in one
  Memory updates_;                       // of merged_
  std::int64_t besides_ = 0;             // bytes of copies_ and updates_
  std::int64_t runs_ = 0;                // in no graph
  Device::Graph graph_;
};

}  // namespace resnet::gpu

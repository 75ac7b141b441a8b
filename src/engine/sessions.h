// Calls of inference that run at the same time: what they share, and what each has for itself.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "exec/executor.h"
#include "resnet/tensor.h"

namespace resnet::engine {

/// A plan of inference for one shape of images, with what its kernels make of the weights. Once `ready`
/// nothing of it changes.
struct SharedPlan {
  Shape images;
  std::shared_ptr<const plan::Plan> plan;
  std::vector<std::byte*> prepared;                    // by buffer; null for those of other regions
  std::vector<std::shared_ptr<AlignedBuffer>> memory;  // that these lie in
  bool ready = false;
};

/// Gives up to date places of a plan's prepared buffers that other plans hold with the same bytes, and the
/// rest in as little memory as they need.
void share_prepared(SharedPlan& plan, const std::vector<std::shared_ptr<SharedPlan>>& others);

/// Threads and memory for one call at a time.
class Session {
 public:
  /// For plans on this state, which outlives it. Throws IoError if the threads cannot be started.
  Session(int threads, const exec::Arena& state) : pool_(threads), arena_(threads, state) {}

  ThreadPool& pool() noexcept { return pool_; }
  std::int64_t bytes() const noexcept { return arena_.bytes(); }
  /// Bound to this session's memory, which `room` is asked for by its growth in bytes before it is taken.
  exec::Executor& executor(const std::shared_ptr<const SharedPlan>& plan,
                           const std::function<void(std::int64_t)>& room);
  /// To be called where the places of what is prepared have changed.
  void forget(const SharedPlan& plan);

 private:
  struct Bound {
    std::shared_ptr<const SharedPlan> plan;
    std::unique_ptr<exec::Executor> executor;
  };
  void reserve(const std::function<void(std::int64_t)>& room);
  void unbind_all() noexcept;

  ThreadPool pool_;
  exec::Arena arena_;
  std::vector<Bound> bound_;  // the one that was used last is first
};

/// Lends sessions to calls, the same few again and again. A child of fork() has copies; those that were lent
/// in the parent are half done there, and nobody gets them.
class Sessions {
  struct Slot {
    std::atomic<pid_t> lent{0};  // the process whose thread has it; 0: none
    std::unique_ptr<Session> session;
  };

 public:
  /// So many at a time at the most, at least one.
  explicit Sessions(int most) : slots_(static_cast<std::size_t>(std::max(1, most))) {}

  /// A session for one call, which it goes back after.
  class [[nodiscard]] Lease {
   public:
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();
    Session* operator->() const noexcept { return slot_.session.get(); }
    Session& operator*() const noexcept { return *slot_.session; }

   private:
    friend class Sessions;
    Lease(Sessions& sessions, const std::function<std::unique_ptr<Session>()>& make);
    Sessions& sessions_;
    Slot& slot_;
  };
  /// Waits while all are lent. `make` is called where there are fewer so far. Throws Error in a child that
  /// was forked while all were lent.
  Lease lease(const std::function<std::unique_ptr<Session>()>& make) { return {*this, make}; }

  /// Sessions that were made so far.
  int made() const noexcept { return made_.load(std::memory_order_relaxed); }

 private:
  Slot& take();
  void give_back(Slot& slot) noexcept;

  std::vector<Slot> slots_;
  std::atomic<std::uint32_t> returns_{0};
  std::atomic<int> made_{0};
};

}  // namespace resnet::engine

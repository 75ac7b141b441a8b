#include "exec/executor.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>

#include "base/clock.h"
#include "resnet/error.h"

namespace resnet::exec {
namespace {

// bind() has seen that it is one.
const kernels::Kernel& cpu_kernel(const plan::Call& call) noexcept {
  return static_cast<const kernels::Kernel&>(*call.kernel);
}

}  // namespace

bool Arena::reserve(std::int64_t state_bytes, std::int64_t work_bytes, std::int64_t scratch_bytes) {
  bool moved = false;
  if (state_bytes > static_cast<std::int64_t>(state_.size())) {
    AlignedBuffer larger(static_cast<std::size_t>(state_bytes));
    if (state_.size() > 0) std::memcpy(larger.data(), state_.data(), state_.size());
    std::memset(larger.data() + state_.size(), 0, larger.size() - state_.size());
    state_ = std::move(larger);
    moved = true;
  }
  if (work_bytes > static_cast<std::int64_t>(work_.size())) {
    work_ = AlignedBuffer();  // released before the new one is allocated: steps leave nothing in it
    work_ = AlignedBuffer(static_cast<std::size_t>(work_bytes));
    moved = true;
  }
  if (scratch_bytes > scratch_stride_) {
    const std::int64_t stride = plan::aligned(scratch_bytes);
    scratch_ = AlignedBuffer();
    scratch_stride_ = 0;
    scratch_ = AlignedBuffer(static_cast<std::size_t>(stride * threads_));
    scratch_stride_ = stride;
    moved = true;
  }
  return moved;
}

std::int64_t Arena::growth(std::int64_t state_bytes, std::int64_t work_bytes,
                           std::int64_t scratch_bytes) const noexcept {
  const auto have = [](const AlignedBuffer& buffer) { return static_cast<std::int64_t>(buffer.size()); };
  // State is copied, so that old and new exist at once; work and scratch are not.
  const std::int64_t state = state_bytes > have(state_) ? state_bytes : 0;
  const std::int64_t work = std::max<std::int64_t>(0, work_bytes - have(work_));
  const std::int64_t scratch =
      std::max<std::int64_t>(0, plan::aligned(scratch_bytes) * threads_ - have(scratch_));
  return std::max(state, state - (state > 0 ? have(state_) : 0) + work + scratch);
}

void Executor::bind(Arena& arena, std::span<std::byte* const> prepared) {
  unbind();
  arena.state_has_changed();  // nothing is prepared at the new addresses
  prepared_outside_ = !prepared.empty();
  addresses_.clear();
  for (const plan::Buffer& buffer : plan().buffers) {
    if (prepared_outside_ && buffer.region == plan::Region::prepared) {
      addresses_.push_back(prepared[addresses_.size()]);
      continue;
    }
    std::byte* const base = buffer.region == plan::Region::state  ? arena.state()
                            : buffer.region == plan::Region::work ? arena.work()
                                                                  : arena.work() + plan().work_bytes;
    addresses_.push_back(base + buffer.offset);
  }
  operands_.clear();
  for (const plan::Call& call : plan().calls) {
    for (const int buffer : call.operands) {
      operands_.push_back(buffer < 0 ? nullptr : addresses_[static_cast<std::size_t>(buffer)]);
    }
  }
  calls_.clear();
  void* const* next = operands_.data();
  for (const plan::Call& call : plan().calls) {
    if (dynamic_cast<const kernels::Kernel*>(call.kernel.get()) == nullptr)
      throw ConfigError("kernel '" + std::string(call.kernel->name()) + "' does not run on the CPU");
    const auto address = [&](int buffer) {
      return buffer < 0 ? nullptr : addresses_[static_cast<std::size_t>(buffer)];
    };
    kernels::Call bound;
    bound.operands = next;
    bound.prepared = address(call.prepared);
    bound.workspace = address(call.workspace);
    bound.nonfinite = &nonfinite_;
    if (const std::int64_t bytes = call.kernel->prepared_bytes(); call.prepared < 0 && bytes > 0) {
      bound.prepared = bound.workspace;
      bound.workspace += plan::aligned(bytes);
    }
    calls_.push_back(bound);
    next += call.operands.size();
  }
  arena_ = &arena;
}

void Executor::run_tasks(ThreadPool& pool, std::size_t call, int phase, std::int64_t first,
                         std::int64_t end) const noexcept {
  const kernels::Kernel& kernel = cpu_kernel(plan().calls[call]);
  pool.parallel_for(end - first, [&](std::int64_t task, int thread) {
    kernels::Call bound = calls_[call];
    bound.scratch = arena_->scratch(thread);
    kernel.run(bound, phase, first + task);
  });
}

void Executor::run_phases(ThreadPool& pool, std::size_t call) const noexcept {
  const kernels::Kernel& kernel = cpu_kernel(plan().calls[call]);
  for (int phase = 0; phase < kernel.phases(); ++phase) {
    const bool kept = phase == 0 && plan().calls[call].prepared >= 0;
    run_tasks(pool, call, phase, kept ? kernel.prepare_tasks() : 0, kernel.tasks(phase));
  }
}

void Executor::prepare(ThreadPool& pool) const noexcept {
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    if (plan().calls[i].constant) {
      run_phases(pool, i);
    } else if (plan().calls[i].prepared >= 0) {
      run_tasks(pool, i, 0, 0, cpu_kernel(plan().calls[i]).prepare_tasks());
    }
  }
}

void Executor::prepare_if_needed(ThreadPool& pool) const noexcept {
  if (prepared_outside_) return;
  if (!arena_->is_prepared_by(*this)) prepare(pool);
  arena_->run_by(*this);
}

void Executor::run(ThreadPool& pool, double* seconds) const noexcept {
  using Clock = std::chrono::steady_clock;
  prepare_if_needed(pool);
  nonfinite_.store(false, std::memory_order_relaxed);
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    if (plan().calls[i].constant) continue;
    const Clock::time_point begin = seconds != nullptr ? Clock::now() : Clock::time_point();
    run_phases(pool, i);
    if (seconds != nullptr) seconds[i] += seconds_since(begin);
  }
}

std::optional<Executor::Found> Executor::run_until_nonfinite(ThreadPool& pool) const noexcept {
  prepare_if_needed(pool);
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    if (plan().calls[i].constant) continue;
    run_phases(pool, i);
    for (const plan::Output& output : plan().calls[i].outputs) {
      const NonFiniteKind kind =
          nonfinite_in(addresses_[static_cast<std::size_t>(output.buffer)], output.dtype, output.elements);
      if (kind != NonFiniteKind::none) return Found{i, kind};
    }
  }
  return std::nullopt;
}

}  // namespace resnet::exec

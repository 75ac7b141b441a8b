#include "exec/executor.h"

#include <chrono>
#include <cstring>

namespace resnet::exec {

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
    work_ = AlignedBuffer();  // the old one goes before the new one comes: work is void between steps
    work_ = AlignedBuffer(static_cast<std::size_t>(work_bytes));
    moved = true;
  }
  if (scratch_bytes > scratch_stride_) {
    const std::int64_t stride = plan::aligned(scratch_bytes);
    scratch_ = AlignedBuffer(static_cast<std::size_t>(stride * threads_));
    scratch_stride_ = stride;
    moved = true;
  }
  return moved;
}

void Executor::bind(const Arena& arena) {
  arena_ = &arena;
  addresses_.clear();
  for (const plan::Buffer& buffer : plan_.buffers) {
    std::byte* base = buffer.region == plan::Region::state ? arena.state() : arena.work();
    addresses_.push_back(base + buffer.offset);
  }
  operands_.clear();
  for (const plan::Call& call : plan_.calls) {
    for (const int buffer : call.operands) {
      operands_.push_back(buffer < 0 ? nullptr : addresses_[static_cast<std::size_t>(buffer)]);
    }
  }
  calls_.clear();
  void* const* next = operands_.data();
  for (const plan::Call& call : plan_.calls) {
    kernels::Call bound;
    bound.operands = next;
    bound.workspace = call.workspace < 0 ? nullptr : addresses_[static_cast<std::size_t>(call.workspace)];
    calls_.push_back(bound);
    next += call.operands.size();
  }
}

void Executor::run(ThreadPool& pool, double* seconds) const noexcept {
  using Clock = std::chrono::steady_clock;
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    const kernels::Kernel& kernel = *plan_.calls[i].kernel;
    const Clock::time_point begin = seconds != nullptr ? Clock::now() : Clock::time_point();
    for (int phase = 0; phase < kernel.phases(); ++phase) {
      pool.parallel_for(kernel.tasks(phase), [&](std::int64_t task, int thread) {
        kernels::Call call = calls_[i];
        call.scratch = arena_->scratch(thread);
        kernel.run(call, phase, task);
      });
    }
    if (seconds != nullptr) seconds[i] += std::chrono::duration<double>(Clock::now() - begin).count();
  }
}

}  // namespace resnet::exec

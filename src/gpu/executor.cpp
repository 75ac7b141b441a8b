#include "gpu/executor.h"

#include <string>
#include <utility>

#include "gpu/updates.h"
#include "resnet/error.h"

namespace resnet::gpu {
namespace {

constexpr std::int64_t kMarkBytes = 256;  // the mark of what is not finite, and what aligns the rest

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kMarkBytes - 1) / kMarkBytes * kMarkBytes;
}

}  // namespace

bool Arena::reserve(std::int64_t state_bytes, std::int64_t work_bytes) {
  bool moved = false;
  if (state_bytes > state_.bytes()) {
    Memory larger(device_, state_bytes);
    device_.copy(larger.data(), state_.data(), state_.bytes());
    device_.fill(larger.data() + state_.bytes(), 0, state_bytes - state_.bytes());
    device_.synchronize();
    state_ = std::move(larger);
    moved = true;
  }
  if (work_bytes > work_.bytes()) {
    device_.synchronize();
    work_ = Memory();  // freed before the new one is allocated: between steps nothing in it counts
    work_ = Memory(device_, work_bytes);
    moved = true;
  }
  return moved;
}

Executor::Executor(plan::Plan plan, Device& device) : plan_(std::move(plan)), device_(device) {
  std::int64_t bytes = kMarkBytes;
  for (const plan::Call& call : plan_.calls) {
    const auto* kernel = dynamic_cast<const Kernel*>(call.kernel.get());
    if (kernel == nullptr)
      throw ConfigError("kernel '" + std::string(call.kernel->name()) + "' does not run on a GPU");
    kernels_.push_back(kernel);
    constants_at_.push_back(bytes);
    for (const plan::Output& output : call.outputs)
      updates_state_ |= plan_.buffers[static_cast<std::size_t>(output.buffer)].region == plan::Region::state;
    bytes += aligned(static_cast<std::int64_t>(kernel->constants().size()));
  }
  constants_ = Memory(device_, bytes);
  for (std::size_t i = 0; i < kernels_.size(); ++i) {
    const auto given = kernels_[i]->constants();
    device_.copy(constants_.data() + constants_at_[i], given.data(), static_cast<std::int64_t>(given.size()));
  }
  device_.synchronize();
}

void Executor::bind(Arena& arena) {
  unbind();
  graph_.reset();
  arena.state_has_changed();  // nothing is prepared at the new addresses
  addresses_.clear();
  for (const plan::Buffer& buffer : plan_.buffers) {
    std::byte* const base = buffer.region == plan::Region::state  ? arena.state()
                            : buffer.region == plan::Region::work ? arena.work()
                                                                  : arena.work() + plan_.work_bytes;
    addresses_.push_back(base + buffer.offset);
  }
  const auto address = [&](int buffer) {
    return buffer < 0 ? nullptr : addresses_[static_cast<std::size_t>(buffer)];
  };
  std::vector<std::byte*> operands;
  const auto work_of = [&](std::size_t i) {
    const plan::Call& call = plan_.calls[i];
    operands.clear();
    for (const int buffer : call.operands) operands.push_back(address(buffer));
    return kernel(i).work({.operands = operands,
                           .workspace = address(call.workspace),
                           .constants = constants_.data() + constants_at_[i],
                           .nonfinite = reinterpret_cast<std::int32_t*>(constants_.data()),
                           .copies = &copies_});
  };
  copies_ = {};
  for (std::size_t i = 0; i < kernels_.size(); ++i) work_of(i);  // which copies they want
  copies_.place(device_);
  work_.clear();
  for (std::size_t i = 0; i < kernels_.size(); ++i) work_.push_back(work_of(i));
  std::vector<Work> all;
  if (updates_state_) all = copies_.work();
  for (std::size_t i = 0; i < work_.size(); ++i)
    if (!plan_.calls[i].constant) all.insert(all.end(), work_[i].begin(), work_[i].end());
  merged_ = merge_updates(all, device_, updates_);
  arena_ = &arena;
}

void Executor::launch_call(std::size_t call) {
  for (const Work& work : work_[call]) device_.launch(work);
}

void Executor::launch_copies() {
  for (const Work& work : copies_.work()) device_.launch(work);
}

void Executor::prepare() {
  if (!arena_->is_prepared_by(*this)) {
    launch_copies();
    for (std::size_t i = 0; i < work_.size(); ++i)
      if (plan_.calls[i].constant) launch_call(i);
  }
  arena_->run_by(*this);
}

void Executor::run() {
  prepare();
  if (graph_ == nullptr) {
    device_.begin_capture();
    try {
      device_.fill(constants_.data(), 0, sizeof(std::int32_t));
      for (const Work& work : merged_) device_.launch(work);
    } catch (...) {
      device_.drop_capture();  // or the stream would never run anything again
      throw;
    }
    graph_ = device_.end_capture();
  }
  device_.launch(graph_);
}

void Executor::run_timed(std::vector<double>& seconds) {
  prepare();
  device_.fill(constants_.data(), 0, sizeof(std::int32_t));
  std::vector<Device::Moment> moments;  // before a call, and behind the last
  moments.push_back(device_.mark());
  if (updates_state_) launch_copies();  // counted with the first call
  for (std::size_t i = 0; i < work_.size(); ++i) {
    if (!plan_.calls[i].constant) launch_call(i);
    moments.push_back(device_.mark());
  }
  for (std::size_t i = 0; i < work_.size(); ++i) {
    if (!plan_.calls[i].constant) seconds[i] += device_.seconds(moments[i], moments[i + 1]);
  }
}

bool Executor::finite() {
  std::int32_t mark = 0;
  device_.copy(&mark, constants_.data(), sizeof mark);
  device_.synchronize();
  return mark == 0;
}

std::optional<Executor::Found> Executor::run_until_nonfinite() {
  prepare();
  if (updates_state_) launch_copies();
  for (std::size_t i = 0; i < work_.size(); ++i) {
    if (plan_.calls[i].constant) continue;
    launch_call(i);
    for (const plan::Output& output : plan_.calls[i].outputs) {
      std::vector<std::byte> values(static_cast<std::size_t>(output.elements) * size_of(output.dtype));
      device_.copy(values.data(), addresses_[static_cast<std::size_t>(output.buffer)],
                   static_cast<std::int64_t>(values.size()));
      device_.synchronize();
      const NonFiniteKind kind = nonfinite_in(values.data(), output.dtype, output.elements);
      if (kind != NonFiniteKind::none) return Found{i, kind};
    }
  }
  return std::nullopt;
}

}  // namespace resnet::gpu

#include "gpu/executor.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "gpu/peak.h"
#include "resnet/error.h"

namespace resnet::gpu {
namespace {

constexpr std::int64_t kMarkBytes = 256;  // the mark of what is not finite, and what aligns the rest
constexpr std::size_t kCopies = std::numeric_limits<std::size_t>::max();  // which are no call's

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
  // At addresses where nothing is, to know what is wanted besides the arena.
  auto* const nowhere = reinterpret_cast<std::byte*>(std::uintptr_t{kMarkBytes});  // NOLINT: nobody reads it
  place(nowhere, nowhere + (std::int64_t{1} << 40));
  Copies wanted;
  work_ = work_of_calls(wanted);
  besides_ = wanted.bytes() + table_bytes(work_of_run());
  work_.clear();
}

void Executor::place(std::byte* state, std::byte* work) {
  addresses_.clear();
  for (const plan::Buffer& buffer : plan_.buffers) {
    std::byte* const base = buffer.region == plan::Region::state  ? state
                            : buffer.region == plan::Region::work ? work
                                                                  : work + plan_.work_bytes;
    addresses_.push_back(base + buffer.offset);
  }
}

std::vector<std::vector<Work>> Executor::work_of_calls(Copies& copies) const {
  const auto address = [&](int buffer) {
    return buffer < 0 ? nullptr : addresses_[static_cast<std::size_t>(buffer)];
  };
  std::vector<std::vector<Work>> all;
  std::vector<std::byte*> operands;
  for (std::size_t i = 0; i < kernels_.size(); ++i) {
    const plan::Call& call = plan_.calls[i];
    operands.clear();
    for (const int buffer : call.operands) operands.push_back(address(buffer));
    all.push_back(kernels_[i]->work({.operands = operands,
                                     .workspace = address(call.workspace),
                                     .constants = constants_.data() + constants_at_[i],
                                     .nonfinite = reinterpret_cast<std::int32_t*>(constants_.data()),
                                     .copies = &copies}));
  }
  return all;
}

// What a run does in this order, and who asks for it.
std::vector<Work> Executor::work_of_run() {
  std::vector<Work> all;
  if (updates_state_) all = copies_.work();
  asked_by_.assign(all.size(), kCopies);
  for (std::size_t i = 0; i < work_.size(); ++i) {
    if (plan_.calls[i].constant) continue;
    all.insert(all.end(), work_[i].begin(), work_[i].end());
    asked_by_.resize(all.size(), i);
  }
  return all;
}

void Executor::bind(Arena& arena) {
  unbind();
  graph_.reset();
  runs_ = 0;
  arena.state_has_changed();  // nothing is prepared at the new addresses
  place(arena.state(), arena.work());
  copies_ = {};
  work_of_calls(copies_);  // which copies they want
  copies_.place(device_);
  work_ = work_of_calls(copies_);
  merged_ = merge_updates(work_of_run(), device_, updates_);
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

void Executor::launch_all() {
  device_.fill(constants_.data(), 0, sizeof(std::int32_t));
  for (const Merged& one : merged_) device_.launch(one.work);
}

void Executor::run() {
  prepare();
  // Not the first one: what a library loads and allocates at its first run may be in no graph.
  if (graph_ == nullptr && runs_++ == 1) graph_ = device_.captured([this] { launch_all(); });
  if (graph_ == nullptr) return launch_all();
  device_.launch(graph_);
}

double Executor::run_timed(std::vector<double>& seconds) {
  prepare();
  device_.fill(constants_.data(), 0, sizeof(std::int32_t));
  const Memory busy = keep_busy(device_);
  std::vector<Device::Moment> moments;  // before a group of launches, and behind the last
  std::vector<std::size_t> ends;        // of the groups, in asked_by_
  moments.push_back(device_.mark());
  for (const auto& [work, first, end] : merged_) {
    device_.launch(work);
    if (end < asked_by_.size() && asked_by_[end] == asked_by_[end - 1]) continue;  // the same call's
    moments.push_back(device_.mark());
    ends.push_back(end);
  }
  double copies = 0;
  std::size_t first = 0;
  for (std::size_t i = 0; i < ends.size(); first = ends[i++]) {
    const double took = device_.seconds(moments[i], moments[i + 1]);
    if (asked_by_[first] == kCopies) {
      copies += took;
      continue;
    }
    std::vector<std::size_t> calls(asked_by_.begin() + static_cast<std::ptrdiff_t>(first),
                                   asked_by_.begin() + static_cast<std::ptrdiff_t>(ends[i]));
    calls.erase(std::unique(calls.begin(), calls.end()), calls.end());
    const auto bytes = [&](std::size_t call) {
      return static_cast<double>(std::max<std::int64_t>(1, plan_.moved_bytes(plan_.calls[call])));
    };
    double all = 0;
    for (const std::size_t call : calls) all += bytes(call);
    for (const std::size_t call : calls) seconds[call] += took * bytes(call) / all;
  }
  return copies;
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

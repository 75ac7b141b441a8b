#include "plan/plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "base/sha256.h"

namespace resnet::plan {
namespace {

const Slot* slot_named(const std::vector<Slot>& slots, const std::string& name) noexcept {
  const auto found =
      std::find_if(slots.begin(), slots.end(), [&](const Slot& slot) { return slot.name == name; });
  return found == slots.end() ? nullptr : &*found;
}

std::string place(const Plan& plan, int buffer) {
  if (buffer < 0) return "-";
  const Buffer& b = plan.buffers[static_cast<std::size_t>(buffer)];
  const char* const region = b.region == Region::state  ? "state"
                             : b.region == Region::work ? "work"
                                                        : "prepared";
  return fmt::format("{}+{}", region, b.offset);
}

std::int64_t bytes_of(const Plan& plan, int buffer) noexcept {
  return buffer < 0 ? 0 : plan.buffers[static_cast<std::size_t>(buffer)].bytes;
}

// Calls visit(bytes, sweeps) for what a call goes over in every run: where it has prepared something from an
// operand, that in its place.
template <class Visit>
void for_operands(const Plan& plan, const Call& call, const Visit& visit) {
  if (call.constant) return;
  for (std::size_t i = 0; i < call.operands.size(); ++i) {
    if (call.prepared < 0 || !call.kernel->prepares_from(i))
      visit(bytes_of(plan, call.operands[i]), call.kernel->sweeps(i));
  }
  visit(bytes_of(plan, call.prepared), 1);
}

constexpr double kMiB = 1024.0 * 1024.0;

std::string memory_text(const Plan& plan) {
  std::int64_t moved = 0;
  for (const Call& call : plan.calls) moved += plan.moved_bytes(call);
  const std::string prepared =
      plan.prepared_bytes == 0
          ? ""
          : fmt::format(" prepared {:.1f} MiB,", static_cast<double>(plan.prepared_bytes) / kMiB);
  return fmt::format(
      "state {:.1f} MiB,{} work {:.1f} MiB (live at most {:.1f} MiB), scratch {:.1f} KiB a thread\n"
      "{} sweeps over operands of 1 MiB or more; {:.1f} MiB moved in all\n",
      static_cast<double>(plan.state_bytes) / kMiB, prepared, static_cast<double>(plan.work_bytes) / kMiB,
      static_cast<double>(plan.live_bytes) / kMiB, static_cast<double>(plan.scratch_bytes) / 1024.0,
      plan.large_sweeps(), static_cast<double>(moved) / kMiB);
}

}  // namespace

const Slot* Plan::input(const std::string& name) const noexcept {
  return slot_named(inputs, name);
}
const Slot* Plan::output(const std::string& name) const noexcept {
  return slot_named(outputs, name);
}

std::int64_t Plan::moved_bytes(const Call& call) const noexcept {
  std::int64_t moved = 0;
  for_operands(*this, call, [&](std::int64_t bytes, int sweeps) { moved += bytes * sweeps; });
  return moved;
}

std::int64_t Plan::large_sweeps() const noexcept {
  constexpr std::int64_t kLarge = 1 << 20;
  std::int64_t total = 0;
  for (const Call& call : calls) {
    for_operands(*this, call, [&](std::int64_t bytes, int sweeps) { total += bytes >= kLarge ? sweeps : 0; });
  }
  return total;
}

const StateLayout::Entry& StateLayout::add(const std::string& name, const Shape& shape) {
  const auto found = entries_.find(name);
  if (found != entries_.end()) {
    if (!(found->second.shape == shape)) {
      throw ShapeError("state '" + name + "': expected " + to_string(found->second.shape) + ", got " +
                       to_string(shape));
    }
    return found->second;
  }
  const auto bytes = shape.elements() * static_cast<std::int64_t>(sizeof(float));
  Entry& entry = entries_[name];
  entry = {shape, bytes_, bytes};
  bytes_ += aligned(bytes);
  return entry;
}

const StateLayout::Entry* StateLayout::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

std::string sha256_of(const Plan& plan) {
  std::string text;
  for (const Call& call : plan.calls)
    text += fmt::format("{} {} {}{}\n", call.op, call.node, call.kernel->name(), call.kernel->variant());
  return resnet::sha256_of(text);
}

std::string summary(const Plan& plan) {
  std::map<std::string, int> kernels;
  for (const Call& call : plan.calls) ++kernels[std::string(call.kernel->name())];
  std::string text;
  for (const auto& [name, calls] : kernels) text += fmt::format("{:>4} {}\n", calls, name);
  return text + memory_text(plan);
}

std::string to_string(const Plan& plan) {
  std::string text = fmt::format("plan for {}\n{:>4}  {:<28} {:<34} {:>10}  {}\n", plan.target, "call",
                                 "node", "kernel", "MFLOP", "operands; reason");
  for (std::size_t i = 0; i < plan.calls.size(); ++i) {
    const Call& call = plan.calls[i];
    std::string operands;
    for (const int buffer : call.operands) operands += (operands.empty() ? "" : " ") + place(plan, buffer);
    if (call.prepared >= 0) operands += " prepared " + place(plan, call.prepared);
    if (call.workspace >= 0) operands += " workspace " + place(plan, call.workspace);
    text += fmt::format("{:>4}  {:<28} {:<34} {:>10.1f}  {}; {}\n", i, call.node, call.kernel->name(),
                        call.flops / 1e6, operands,
                        call.constant ? "when the state has changed; " + call.reason : call.reason);
  }
  text += memory_text(plan);
  return text;
}

}  // namespace resnet::plan

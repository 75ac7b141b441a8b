#include "gpu/updates.h"

#include <cstring>
#include <span>

#include "gpu/lines.h"
#include "gpu/rules.h"

namespace resnet::gpu {
namespace {

using device::UpdateArgs;
using device::UpdatesArgs;

// The update that a launch is, and the kernel that does several; count: it is none.
KernelId kernel_of_several(const Work& work) {
  const auto* launch = std::get_if<Launch>(&work);
  if (launch == nullptr) return KernelId::count;
  if (launch->kernel == KernelId::sgd) return KernelId::sgd_all;
  if (launch->kernel == KernelId::adamw) return KernelId::adamw_all;
  if (launch->kernel == KernelId::average) return KernelId::average_all;
  return KernelId::count;
}

Lines<UpdateArgs> table_of(std::span<const Work> updates) {
  Lines<UpdateArgs> table;
  for (const Work& work : updates) {
    const Launch& one = std::get<Launch>(work);
    UpdateArgs args;
    std::memcpy(&args, one.args.data(), sizeof args);
    table.add(args, one.blocks);
  }
  return table;
}

// Neighbouring updates of one kind, from `first` up to `end`.
struct Run {
  std::size_t first, end;
  std::int64_t bytes() const { return plan::aligned(Lines<UpdateArgs>::bytes_of(end - first), kAlignment); }
};

std::vector<Run> runs_of(const std::vector<Work>& work) {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < work.size();) {
    std::size_t end = i + 1;
    while (end < work.size() && kernel_of_several(work[end]) == kernel_of_several(work[i])) ++end;
    if (kernel_of_several(work[i]) != KernelId::count && end - i > 1) runs.push_back({i, end});
    i = end;
  }
  return runs;
}

}  // namespace

std::int64_t table_bytes(const std::vector<Work>& work) {
  std::int64_t bytes = 0;
  for (const Run& run : runs_of(work)) bytes += run.bytes();
  return bytes;
}

std::vector<Merged> merge_updates(const std::vector<Work>& work, Device& device, Memory& table) {
  const std::int64_t bytes = table_bytes(work);
  if (table.bytes() < bytes) table = Memory(device, bytes);
  std::vector<std::byte> host(static_cast<std::size_t>(bytes));
  std::vector<Merged> result;
  std::size_t next = 0;
  const auto take_until = [&](std::size_t end) {
    for (; next < end; ++next) result.push_back({work[next], next, next + 1});
  };
  std::int64_t at = 0;
  for (const Run& run : runs_of(work)) {
    take_until(run.first);
    const Lines<UpdateArgs> lines = table_of(std::span(work).subspan(run.first, run.end - run.first));
    lines.write(host.data() + at);
    result.push_back({launch_of(kernel_of_several(work[run.first]), lines.blocks(),
                                lines.args<UpdatesArgs>(table.data() + at)),
                      run.first, run.end});
    at += run.bytes();
    next = run.end;
  }
  take_until(work.size());
  if (bytes == 0) return result;
  device.copy(table.data(), host.data(), bytes);
  device.synchronize();
  return result;
}

}  // namespace resnet::gpu

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
  if (launch != nullptr && launch->kernel == KernelId::sgd) return KernelId::sgd_all;
  if (launch != nullptr && launch->kernel == KernelId::adamw) return KernelId::adamw_all;
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

}  // namespace

std::vector<Work> merge_updates(const std::vector<Work>& work, Device& device, Memory& table) {
  // Runs of the same update, as {first, behind the last}.
  std::vector<std::span<const Work>> runs;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < work.size();) {
    std::size_t end = i + 1;
    while (end < work.size() && kernel_of_several(work[end]) == kernel_of_several(work[i])) ++end;
    if (kernel_of_several(work[i]) != KernelId::count && end - i > 1) {
      runs.push_back(std::span(work).subspan(i, end - i));
      bytes += plan::aligned(Lines<UpdateArgs>::bytes_of(end - i), kAlignment);
    }
    i = end;
  }
  if (bytes == 0) return work;
  if (table.bytes() < bytes) table = Memory(device, bytes);
  std::vector<std::byte> host(static_cast<std::size_t>(bytes));
  std::vector<Work> result;
  std::int64_t at = 0;
  const Work* next = work.data();
  for (const std::span<const Work> run : runs) {
    result.insert(result.end(), next, run.data());
    const Lines<UpdateArgs> lines = table_of(run);
    lines.write(host.data() + at);
    result.emplace_back(launch_of(kernel_of_several(run.front()), lines.blocks(),
                                  lines.args<UpdatesArgs>(table.data() + at)));
    at += plan::aligned(lines.bytes(), kAlignment);
    next = run.data() + run.size();
  }
  result.insert(result.end(), next, work.data() + work.size());
  device.copy(table.data(), host.data(), bytes);
  device.synchronize();
  return result;
}

}  // namespace resnet::gpu

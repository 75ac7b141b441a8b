#include "gpu/updates.h"

#include <cstring>
#include <span>

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

// Bytes of a table's line, and of where its blocks begin.
constexpr auto kLine = static_cast<std::int64_t>(sizeof(UpdateArgs));
constexpr auto kFirst = static_cast<std::int64_t>(sizeof(std::int32_t));

std::int64_t table_bytes(std::size_t updates) {
  const auto count = static_cast<std::int64_t>(updates);
  return plan::aligned(count * kLine + (count + 1) * kFirst, kAlignment);
}

// Writes the table of some updates, and gives the launch of all.
Launch merged(std::span<const Work> updates, KernelId kernel, std::byte* host, std::byte* on_device) {
  const auto count = static_cast<std::int64_t>(updates.size());
  std::int32_t blocks = 0;
  for (std::int64_t i = 0; i <= count; ++i) {
    std::memcpy(host + count * kLine + i * kFirst, &blocks, sizeof blocks);
    if (i == count) break;
    const Launch& one = std::get<Launch>(updates[static_cast<std::size_t>(i)]);
    std::memcpy(host + i * kLine, one.args.data(), sizeof(UpdateArgs));
    blocks += static_cast<std::int32_t>(one.blocks);
  }
  return launch_of(kernel, blocks,
                   UpdatesArgs{reinterpret_cast<const UpdateArgs*>(on_device),
                               reinterpret_cast<const std::int32_t*>(on_device + count * kLine),
                               static_cast<std::int32_t>(count)});
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
      bytes += table_bytes(end - i);
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
    result.emplace_back(merged(run, kernel_of_several(run.front()), host.data() + at, table.data() + at));
    at += table_bytes(run.size());
    next = run.data() + run.size();
  }
  result.insert(result.end(), next, work.data() + work.size());
  device.copy(table.data(), host.data(), bytes);
  device.synchronize();
  return result;
}

}  // namespace resnet::gpu

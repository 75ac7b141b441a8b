// The processor time and memory that Linux's control groups leave to this process.
#pragma once

#include <cstdint>
#include <filesystem>

namespace resnet {

/// Cores' worth of processor time: the least quota of this process's control group and of all groups around
/// it, version 2 or 1, as far as they can be seen; infinity without one. `root` stands for the folder /, for
/// tests. Source: Linux, Documentation/admin-guide/cgroup-v2.rst ("cpu.max") and scheduler/sched-bwc.rst.
double control_group_cores(const std::filesystem::path& root = "/");

/// Bytes that the limits of memory of the same groups leave, files in the page cache not counted; a very
/// large number without one. Source: cgroup-v2.rst ("memory.max", "memory.stat") and cgroup-v1/memory.rst.
std::int64_t control_group_memory(const std::filesystem::path& root = "/");

}  // namespace resnet

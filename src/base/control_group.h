// The processor time that Linux's control groups leave to this process.
#pragma once

#include <filesystem>

namespace resnet {

/// Cores' worth of processor time: the least quota of this process's control group and of all groups around
/// it, version 2 or 1, as far as they can be seen; infinity without one. `root` stands for the folder /, for
/// tests. Source: Linux, Documentation/admin-guide/cgroup-v2.rst ("cpu.max") and scheduler/sched-bwc.rst.
double control_group_cores(const std::filesystem::path& root = "/");

}  // namespace resnet

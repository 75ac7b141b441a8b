#include "base/cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "base/control_group.h"
#include "base/machine.h"

namespace resnet {
namespace {

// Cores that this thread may run on, a cpuset included.
int affinity_cores() {
  constexpr std::size_t kMost = 1U << 20U;
  for (std::size_t most = CPU_SETSIZE; most <= kMost;
       most *= 2) {  // a kernel for more cores takes larger sets only
    std::vector<unsigned long> set(most / (8 * sizeof(unsigned long)));
    const std::size_t bytes = most / 8;
    auto* cores = reinterpret_cast<cpu_set_t*>(set.data());
    if (sched_getaffinity(0, bytes, cores) == 0) return std::max(1, CPU_COUNT_S(bytes, cores));
  }
  return 1;
}

}  // namespace

ThreadCount cores_left() {
  const int affinity = affinity_cores();
  const double quota = std::ceil(control_group_cores());
  if (quota < affinity) return {std::max(1, static_cast<int>(quota)), "control group"};
  return {affinity, affinity < sysconf(_SC_NPROCESSORS_ONLN) ? "affinity" : "cores"};
}

int usable_cores() {
  return cores_left().count;
}

ThreadCount threads_wanted() {
  constexpr const char* kVariable = "OMP_NUM_THREADS";
  if (const char* text = std::getenv(kVariable); text != nullptr) {
    char* end = nullptr;
    const long threads = std::strtol(text, &end, 10);
    constexpr long kMost = 1024;
    const bool whole = *end == '\0' || *end == ',';  // a list is of nested regions, as OpenMP has it
    if (whole && threads >= 1) return {static_cast<int>(std::min(threads, kMost)), kVariable};
  }
  return cores_left();
}

int default_threads() {
  return threads_wanted().count;
}

}  // namespace resnet

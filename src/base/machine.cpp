#include "base/machine.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "resnet/error.h"

namespace resnet {
namespace {

constexpr std::array<std::string_view, 3> kIsaNames = {"avx2", "avx512", "avx512_bf16"};

// Cores by the quota of control group v2 ("max 100000" means none) or v1, or a very large number.
int cgroup_cores() {
  constexpr int kUnlimited = 1 << 20;
  double quota = -1;
  double period = 0;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2) {
    v2 >> quota >> period;
  } else {
    std::ifstream quota_v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    std::ifstream period_v1("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    quota_v1 >> quota;
    period_v1 >> period;
  }
  if (quota <= 0 || period <= 0) return kUnlimited;
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

}  // namespace

std::string_view name_of(Isa isa) {
  return kIsaNames.at(static_cast<std::size_t>(isa));
}

std::optional<Isa> isa_named(std::string_view name) {
  for (std::size_t i = 0; i < kIsaNames.size(); ++i) {
    if (kIsaNames.at(i) == name) return static_cast<Isa>(i);
  }
  return std::nullopt;
}

Isa best_isa() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    throw ConfigError("this processor (" + cpu_model() + ") has no AVX2 and FMA",
                      "the native engine needs an x86-64 processor of 2013 or later");
  }
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd");
  if (!avx512) return Isa::avx2;
  return __builtin_cpu_supports("avx512bf16") ? Isa::avx512_bf16 : Isa::avx512;
}

std::string cpu_model() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int affinity = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return std::max(1, std::min(affinity, cgroup_cores()));
}

int default_threads() {
  if (const char* text = std::getenv("OMP_NUM_THREADS"); text != nullptr) {
    const long threads = std::strtol(text, nullptr, 10);
    constexpr long kMost = 1024;
    if (threads >= 1) return static_cast<int>(std::min(threads, kMost));
  }
  return usable_cores();
}

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace resnet

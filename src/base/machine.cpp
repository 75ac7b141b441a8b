#include "base/machine.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "base/control_group.h"
#include "resnet/error.h"

namespace resnet {
namespace {

constexpr std::array<std::string_view, 3> kIsaNames = {"avx2", "avx512", "avx512_bf16"};

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
  // What Highway compiles its AVX2 code for: compilers shift with BMI2 as they like.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi") ||
      !__builtin_cpu_supports("bmi2")) {
    throw ConfigError("this processor (" + cpu_model() + ") has no AVX2, FMA and BMI2",
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

std::int64_t available_memory() {
  std::ifstream meminfo("/proc/meminfo");
  for (std::string name, unit; meminfo >> name;) {
    std::int64_t kib = 0;
    meminfo >> kib;
    std::getline(meminfo, unit);
    constexpr std::int64_t kKiB = 1024;
    if (name == "MemAvailable:") return std::min(kib * kKiB, control_group_memory());
  }
  return 0;
}

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace resnet

#include "base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <limits>
#include <new>

#include "base/control_group.h"
#include "resnet/memory.h"

namespace resnet {
namespace {

// Of all processes; a very large number where the system does not say.
std::int64_t system_memory_left() {
  std::ifstream meminfo("/proc/meminfo");
  std::int64_t sum = 0;
  int found = 0;
  for (std::string name, unit; found < 2 && meminfo >> name;) {
    std::int64_t kib = 0;
    meminfo >> kib;
    std::getline(meminfo, unit);
    constexpr std::int64_t kKiB = 1024;
    if (name != "MemAvailable:" && name != "SwapFree:") continue;
    sum += kib * kKiB;
    ++found;
  }
  return found > 0 ? sum : std::numeric_limits<std::int64_t>::max();
}

}  // namespace

std::int64_t resident_bytes() {
  std::int64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

std::int64_t memory_left(std::int64_t most) {
  const std::int64_t left = std::min(system_memory_left(), control_group_memory());
  return most == 0 ? left : std::min(left, std::max<std::int64_t>(0, most - resident_bytes()));
}

void require_memory(std::int64_t bytes, std::int64_t most, const std::string& what, const std::string& hint) {
  if (bytes <= 0) return;
  const std::int64_t left = memory_left(most);
  if (bytes <= left) return;
  throw MemoryError(what + " needs " + bytes_text(bytes) + " more, of which " + bytes_text(left) +
                        " are left" + (most > 0 ? " of " + bytes_text(most) : ""),
                    hint);
}

const char* reason(const std::exception& error) noexcept {
  const bool memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  return memory ? "there is not enough memory" : error.what();
}

std::string bytes_text(std::int64_t bytes) {
  constexpr double kMiB = 1 << 20, kGiB = 1 << 30;
  const auto value = static_cast<double>(bytes);
  std::array<char, 32> text{};
  if (value >= kGiB) {
    std::snprintf(text.data(), text.size(), "%.2f GiB", value / kGiB);
  } else {
    std::snprintf(text.data(), text.size(), value >= 100 * kMiB ? "%.0f MiB" : "%.3g MiB", value / kMiB);
  }
  return text.data();
}

}  // namespace resnet

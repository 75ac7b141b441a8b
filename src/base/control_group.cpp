#include "base/control_group.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace resnet {
namespace {

namespace fs = std::filesystem;

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

// A mounted hierarchy of groups: its folder `root` is seen at `point`.
struct Mount {
  bool v2 = false;
  fs::path root, point;
};

bool lists(std::string_view text, std::string_view wanted) {  // "cpu,cpuacct"
  std::istringstream items{std::string(text)};
  for (std::string item; std::getline(items, item, ',');) {
    if (item == wanted) return true;
  }
  return false;
}

// mountinfo writes a space, tab, newline or backslash as \ooo.
std::string unescaped(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view digits = text.substr(i + 1, 3);
    if (text[i] == '\\' && digits.size() == 3 &&
        digits.find_first_not_of("01234567") == std::string_view::npos) {
      result += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + (digits[2] - '0'));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

// A line is: id, parent, device, root, mount point, options, any number of tags, "-", type, source, options.
std::vector<Mount> mounts(const fs::path& root, std::string_view controller) {
  std::vector<Mount> result;
  std::ifstream file(root / "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line.substr(0, dash)), behind(line.substr(dash + 3));
    std::string skipped, inside, point, type, options;
    before >> skipped >> skipped >> skipped >> inside >> point;
    behind >> type >> skipped >> options;
    if (type == "cgroup2" || (type == "cgroup" && lists(options, controller)))
      result.push_back({type == "cgroup2", unescaped(inside), unescaped(point)});
  }
  return result;
}

double quota_of(const fs::path& group, bool v2) {
  double quota = -1, period = 0;
  if (v2) {
    std::ifstream(group / "cpu.max") >> quota >> period;  // "max 100000": no number, no quota
  } else {
    std::ifstream(group / "cpu.cfs_quota_us") >> quota;
    std::ifstream(group / "cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : kUnlimited;
}

// What a limit of memory leaves; "max" is no number, and no limit. Files of the page cache make room when it
// is needed.
double left_in_group(const fs::path& group, bool v2) {
  double limit = 0, used = 0;
  if (!(std::ifstream(group / (v2 ? "memory.max" : "memory.limit_in_bytes")) >> limit)) return kUnlimited;
  std::ifstream(group / (v2 ? "memory.current" : "memory.usage_in_bytes")) >> used;
  std::ifstream stat(group / "memory.stat");
  const std::string prefix = v2 ? "" : "total_";
  double bytes = 0;
  for (std::string name; stat >> name >> bytes;) {
    if (name == prefix + "inactive_file" || name == prefix + "active_file") used -= bytes;
  }
  return std::max(0.0, limit - std::max(0.0, used));
}

using OfGroup = double (*)(const fs::path& group, bool v2);

// Of a group and of all around it that the mount shows.
double least_of(const fs::path& root, const Mount& mount, const fs::path& group, OfGroup value) {
  const fs::path inside = group.lexically_relative(mount.root);
  if (inside.empty() || *inside.begin() == "..") return kUnlimited;  // another part of the hierarchy
  fs::path folder = root / mount.point.relative_path();
  double least = value(folder, mount.v2);
  for (const fs::path& part : inside) {
    folder /= part;
    least = std::min(least, value(folder, mount.v2));
  }
  return least;
}

// Of this process's group.
double least_of(const fs::path& root, std::string_view controller, OfGroup value) {
  const std::vector<Mount> all = mounts(root, controller);
  double least = kUnlimited;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "0::/path" or "4:cpu,cpuacct:/path"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const bool v2 = second == first + 1;
    if (!v2 && !lists(std::string_view(line).substr(first + 1, second - first - 1), controller)) continue;
    for (const Mount& mount : all) {
      if (mount.v2 == v2) least = std::min(least, least_of(root, mount, line.substr(second + 1), value));
    }
  }
  return least;
}

}  // namespace

double control_group_cores(const fs::path& root) {
  return least_of(root, "cpu", quota_of);
}

std::int64_t control_group_memory(const fs::path& root) {
  constexpr double kMost = 0x1p62;
  return static_cast<std::int64_t>(std::min(kMost, least_of(root, "memory", left_in_group)));
}

}  // namespace resnet

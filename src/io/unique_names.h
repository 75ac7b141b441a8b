// Names that are given once.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace resnet::io {

class UniqueNames {
 public:
  /// `wanted`, or with a number behind it where that is taken: "conv_2".
  std::string add(const std::string& wanted) {
    std::string name = wanted;
    while (!taken_.insert(name).second)
      name = fmt::format("{}_{}", wanted, ++last_.try_emplace(wanted, 1).first->second);
    return name;
  }

 private:
  std::set<std::string> taken_;
  std::map<std::string, std::int64_t> last_;  // numbers, of names that were wanted again
};

}  // namespace resnet::io

// What is there more than once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>

#include "resnet/folder.h"

namespace resnet::data {

/// Of pictures by their digests.
class DuplicateCounter {
 public:
  /// `part` is that of its data set; none: it may be in any.
  void add(const std::string& digest, std::size_t class_number, Part part);
  Duplicates result() const;

 private:
  struct Seen {
    std::set<std::size_t> classes;
    std::int64_t files = 0, trained = 0, validated = 0, tested = 0;
  };
  std::unordered_map<std::string, Seen> seen_;
};

}  // namespace resnet::data

// Where a name stands in a list of many.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace resnet {

/// The places of names in a list that outlives this; of several that are equal the first.
class Places {
 public:
  explicit Places(const std::vector<std::string>& names);
  std::optional<std::size_t> of(std::string_view name) const;

 private:
  std::unordered_map<std::string_view, std::size_t> known_;
};

}  // namespace resnet

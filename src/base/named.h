// What stands beside a name in a list of pairs.
#pragma once

#include <algorithm>
#include <string_view>

namespace resnet {

/// The first value of that name in pairs of a name and a value, else null.
template <class Pairs>
auto* find_named(Pairs& pairs, std::string_view name) {
  const auto found = std::ranges::find(pairs, name, &Pairs::value_type::first);
  return found == pairs.end() ? nullptr : &found->second;
}

}  // namespace resnet

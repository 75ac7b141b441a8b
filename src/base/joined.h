// A list in a line of text.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

namespace resnet {

/// Texts or whole numbers with `separator` between them.
template <class Range>
std::string joined(const Range& values, std::string_view separator) {
  std::string result;
  bool first = true;
  for (const auto& value : values) {
    if (!first) result += separator;
    first = false;
    if constexpr (std::is_integral_v<std::decay_t<decltype(value)>>) {
      result += std::to_string(value);
    } else {
      result += value;
    }
  }
  return result;
}

}  // namespace resnet

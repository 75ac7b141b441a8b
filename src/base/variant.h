// std::variant, but for what g++ 12's library does wrong.
#pragma once

#include <type_traits>
#include <utility>
#include <variant>

namespace resnet {

/// A copy. That library's own destroys what was never made where memory ends in the middle of it.
template <class... T>
std::variant<T...> copied(const std::variant<T...>& from) {
  return std::visit(
      [](const auto& value) {
        return std::variant<T...>(std::in_place_type<std::decay_t<decltype(value)>>, value);
      },
      from);
}

}  // namespace resnet

#pragma once

#include <cstddef>
#include <cstdint>

namespace resnet::compiler {

/// Where a value or a node stands in a table of all of them.
inline std::size_t at(std::int64_t id) {
  return static_cast<std::size_t>(id);
}

}  // namespace resnet::compiler

#pragma once

#include <cstdint>

namespace resnet::test {

/// How often this program has called operator new so far.
std::int64_t allocations();

}  // namespace resnet::test

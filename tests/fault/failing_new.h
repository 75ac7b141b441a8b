#pragma once

#include <cstdint>

namespace resnet::test {

/// Lets the call of operator new fail that is the `number`-th of this thread from here on; 0: none. Gives
/// true if the one before was never reached.
bool fail_allocation(std::int64_t number);

}  // namespace resnet::test

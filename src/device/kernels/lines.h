// Launches that do several things: a table's lines, each with blocks of its own.
#pragma once

#include <cstdint>

#include "device/args.h"
#include "device/words.h"

namespace resnet::device {

/// A block's number among those of a line.
struct OfBlocks {
  std::int64_t number, count;
  RESNET_WORD std::int64_t first() const { return number * kThreads + thread(); }
  RESNET_WORD std::int64_t stride() const { return count * kThreads; }
};

/// The line whose block this is, of those that begin with first_block[i], and its number there.
struct OwnLine {
  int line = 0;
  OfBlocks of{};
  RESNET_WORD OwnLine(const std::int32_t* first_block, int count) {
    for (int behind = count; behind - line > 1;) {
      const int middle = (line + behind) / 2;
      if (first_block[middle] <= block()) {
        line = middle;
      } else {
        behind = middle;
      }
    }
    of = {block() - first_block[line], first_block[line + 1] - first_block[line]};
  }
};

}  // namespace resnet::device

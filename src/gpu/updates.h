// The updates of all parameters as one launch.
#pragma once

#include <cstddef>
#include <vector>

#include "gpu/device.h"

namespace resnet::gpu {

/// A piece of work that stands for those from `first` up to `end`.
struct Merged {
  Work work;
  std::size_t first = 0, end = 0;
};

/// The work of a plan with neighbouring updates of one kind merged: their arguments stand in a table on the
/// device, which is given the memory it needs. Each parameter has the blocks and the bits that it has by
/// itself.
std::vector<Merged> merge_updates(const std::vector<Work>& work, Device& device, Memory& table);

/// Bytes that this table takes.
std::int64_t table_bytes(const std::vector<Work>& work);

}  // namespace resnet::gpu

// The updates of all parameters as one launch.
#pragma once

#include <vector>

#include "gpu/device.h"

namespace resnet::gpu {

/// The work of a plan with neighbouring updates of one kind merged: their arguments stand in a table on the
/// device, which is given the memory it needs. Each parameter has the blocks and the bits that it has by
/// itself.
std::vector<Work> merge_updates(const std::vector<Work>& work, Device& device, Memory& table);

}  // namespace resnet::gpu

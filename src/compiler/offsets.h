// Where buffers lie in the work region.
#pragma once

#include <cstdint>

#include "plan/plan.h"

namespace resnet::compiler {

/// Gives the buffers of the work region their offsets, such that those that live at the same time do not
/// overlap, and sets work_bytes and live_bytes. Its time grows as n log n with the buffers of a network.
void assign_offsets(plan::Plan& plan, std::int64_t alignment);

}  // namespace resnet::compiler

// A device that is none: the kernels of kernels.def run on this processor, a block after the other, and what
// a GPU would let pass is an error of launch(): bank conflicts are counted; misaligned, unwritten and
// raced-for shared memory, unequal barriers, and copies without their wait are found. New memory is NaN, so
// that an output that nobody writes is seen, and who goes on behind it ends there.
#pragma once

#include <functional>
#include <string>

#include "device/api.h"
#include "emulator/block.h"

namespace resnet::emulator {

/// Runs a kernel that stands in no table: for tests of the emulator. Gives what went wrong, or "".
std::string run(int blocks, int threads, int shared_bytes, const std::function<void()>& kernel,
                Order order = Order::forward, Statistics* statistics = nullptr);

/// The device's functions. Memory is the host's, work is done when it is asked for (or as set_pace() says),
/// captured work when its graph is launched.
const resnet_device_api& api();

/// When the work of a stream is done: when it is asked for, or not before somebody waits for it, which is the
/// latest that a device may be. Then pinned memory that changes too early, and results that are read too
/// early, are seen.
enum class Pace : std::uint8_t { at_once, late };
/// Of the streams that this thread makes from here on.
void set_pace(Pace pace);

/// Does work now or late, or keeps it for the graph that the stream captures: for functions that stand in for
/// the device's.
int submit(resnet_stream* stream, std::function<int()> work);

/// Of all later launches of this thread.
void set_order(Order order);
/// Since the last call, of this thread.
Statistics take_statistics();

}  // namespace resnet::emulator

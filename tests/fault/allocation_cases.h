// What is tried where memory ends; of each `stride` allocations one fails. Each gives how many have failed,
// and a failed expectation where something crashed, stayed open, was left half done or was lost.
#pragma once

#include <cstdint>

namespace resnet::test {

std::int64_t fail_saving(
    std::int64_t stride);  ///< a model over an old one: the old one stays, or the new one
std::int64_t fail_loading(std::int64_t stride);       ///< a model with its engine
std::int64_t fail_weights(std::int64_t stride);       ///< into a network: all of them, or none
std::int64_t fail_packed_files(std::int64_t stride);  ///< IDX files and gzip, through a loader
std::int64_t fail_pictures(std::int64_t stride);  ///< of every format: no picture is taken for a damaged one
std::int64_t fail_folder(std::int64_t stride);    ///< of pictures, with a cache: none is left out
std::int64_t fail_engine(std::int64_t stride);    ///< compiling and a step: its state stays, and it goes on
std::int64_t fail_run(std::int64_t stride);       ///< with checkpoints, new and resumed: none is lost

}  // namespace resnet::test

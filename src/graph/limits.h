// How large a network may be. A file of some kilobytes can describe one that takes hours or all memory to
// plan or to run; what is larger is refused before anything is planned (compiler/verify.h). Each bound lies
// far beyond known networks: ResNet-1001 has some 3,400 nodes and 9,000 values, ResNet-152 takes 23 GFLOP for
// an image of 224 x 224, and the largest activations of a photograph of 12 million pixels, in and out of a
// stem, are 1.6 GB.
#pragma once

#include <cstdint>

namespace resnet::graph {

inline constexpr std::int64_t kMostNodes = 10'000;
inline constexpr std::int64_t kMostValues = 100'000;                    // inputs, state and results
inline constexpr std::int64_t kMostImageBytes = std::int64_t{1} << 31;  // activations of one node, in f32
inline constexpr double kMostImageFlops = 1e13;                         // of all nodes, direct algorithms

}  // namespace resnet::graph

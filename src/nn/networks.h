// How the zoo's networks are put together: the plan, and a function for each way of naming and ordering.
#pragma once

#include "resnet/models.h"

namespace resnet::models {

// What is to be built, checked and complete.
struct Plan {
  std::int64_t in_channels, classes;
  std::vector<std::int64_t> blocks, widths, strides;  // of each stage
  Block block;
  Stem stem;
  std::int64_t stem_channels;
  nn::BlockOptions options;  // of every block; stride and drop_path are the network's own

  std::int64_t expansion() const { return block == Block::bottleneck ? 4 : 1; }
  /// Options of block `i` of `stage`; drop_path rises from 0 in the first block to its full rate in the last,
  /// as timm's.
  nn::BlockOptions options_of(std::size_t stage, std::int64_t i) const;
};

/// The chapter's, with its names.
nn::Sequential chapter_network(const Plan& plan);
/// torchvision's and, where that has none, timm's names.
nn::Sequential torchvision_network(const Plan& plan);
/// Norm and ReLU before each convolution: timm's resnetv2.
nn::Sequential preactivation_network(const Plan& plan);

}  // namespace resnet::models

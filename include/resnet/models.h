// The zoo: the networks of the chapter (Dive into Deep Learning, section "Residual Networks (ResNet)")
// and torchvision's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "resnet/nn.h"

namespace resnet::models {

enum class Block : std::uint8_t { basic, bottleneck };

/// What comes before the first stage: 7x7 at stride 2 and a 3x3 max-pool at stride 2, as the paper has it
/// for pictures of 224x224; or 3x3 at stride 1 alone, for pictures of about 32x32.
enum class Stem : std::uint8_t { large, small };

/// What a ResNet may have instead of its name's own configuration.
struct ResNetOptions {
  std::optional<std::int64_t> in_channels = {};  // nothing: 1 for the chapter's, 3 for torchvision's
  std::optional<std::int64_t> classes = {};      // nothing: 10, 1000
  std::vector<std::int64_t> blocks = {};         // of each stage; empty: the model's own
  std::vector<std::int64_t> channels = {};  // of each stage (width of its blocks); empty: the model's own
  std::optional<Block> block = {};          // nothing: the model's own
  Stem stem = Stem::large;
};

/// The chapter's ResNet-18: every convolution with a bias, 1x1 shortcuts without a norm, parameters
/// named as its PyTorch state_dict ("0.0.weight", …, "7.weight"). 11,178,378 parameters with one
/// input channel and ten classes. Scheme::chapter.
nn::Sequential d2l_resnet18(const ResNetOptions& options = {});
/// The same by 3,4,6,3 basic blocks; from 50 on with bottlenecks.
nn::Sequential d2l_resnet34(const ResNetOptions& options = {});
nn::Sequential d2l_resnet50(const ResNetOptions& options = {});
nn::Sequential d2l_resnet101(const ResNetOptions& options = {});
nn::Sequential d2l_resnet152(const ResNetOptions& options = {});

/// torchvision's, with its parameter names and counts. Scheme::torchvision.
nn::Sequential resnet18(const ResNetOptions& options = {});
nn::Sequential resnet34(const ResNetOptions& options = {});
nn::Sequential resnet50(const ResNetOptions& options = {});
nn::Sequential resnet101(const ResNetOptions& options = {});
nn::Sequential resnet152(const ResNetOptions& options = {});

/// Names that make() knows.
std::vector<std::string> names();
/// The model called `name`. Throws ConfigError for an unknown one (the hint has the nearest and the list),
/// or for options that fit no network.
nn::Sequential make(const std::string& name, const ResNetOptions& options);

}  // namespace resnet::models

// The zoo: the networks of the chapter (Dive into Deep Learning, section "Residual Networks (ResNet)"),
// torchvision's, and of timm's what is a configuration of those.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "resnet/nn.h"

namespace resnet::models {

enum class Block : std::uint8_t { basic, bottleneck };  // what stages are made of

/// What comes before the first stage: 7x7 at stride 2 and a 3x3 max-pool at stride 2, as the paper has it
/// for pictures of 224x224; 3x3 at stride 1 alone, for pictures of about 32x32; or three 3x3, the first at
/// stride 2 and two with half the channels, and the pool: "ResNet-C" and "-D" of arXiv 1812.01187.
enum class Stem : std::uint8_t { large, small, deep };

/// What a ResNet may have instead of its name's own configuration. What is not given is the name's own.
/// docs/networks.md has the table of the names.
struct ResNetOptions {
  std::optional<std::int64_t> in_channels = {};  // the chapter's: 1; torchvision's and timm's: 3
  std::optional<std::int64_t> classes = {};      // 10; 1000
  std::vector<std::int64_t> blocks = {};         // of each stage, as many numbers as there are stages
  std::vector<std::int64_t> channels = {};       // of each stage: width of its blocks
  std::vector<std::int64_t> strides = {};        // of each stage's first block; empty: 1, then 2
  std::optional<Block> block = {};
  std::optional<Stem> stem = {};
  std::optional<std::int64_t> stem_channels = {};  // those of the first stage
  std::optional<nn::Shortcut> shortcut = {};       // none: a plain network
  // Of bottlenecks, the 3x3's channels being channels * width_per_group / 64 * groups: ResNeXt, wide.
  std::optional<std::int64_t> groups = {}, width_per_group = {};
  std::optional<std::int64_t> se_reduction = {};  // squeeze-and-excitation; 0: none
  std::optional<bool> preactivation = {};         // norm and ReLU before each convolution: timm's resnetv2
  // Stochastic depth: what the last block's branch is dropped with, rising linearly from the first's 0.
  std::optional<double> drop_path = {};
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

/// Names that make() knows: the ten above, wide_resnet50_2 and 101_2, resnext50_32x4d, 101_32x8d and
/// 101_64x4d as torchvision's; resnet18d, 34d, 50d and 101d, seresnet18, 34 and 50, seresnext50_32x4d,
/// resnetv2_18, 34, 50 and 101 as timm's: tensors' names and counts, and logits for their weights. The
/// latter's Scheme is torchvision too.
std::vector<std::string> names();
/// The model called `name`. Throws ConfigError for an unknown one (the hint has the nearest and the list),
/// or for options that fit no network.
nn::Sequential make(const std::string& name, const ResNetOptions& options);

}  // namespace resnet::models

#include "nn/networks.h"

#include <algorithm>
#include <numeric>

namespace resnet::models {

using namespace nn;

nn::BlockOptions Plan::options_of(std::size_t stage, std::int64_t i) const {
  const auto first = blocks.begin();
  const std::int64_t before =
      i + std::accumulate(first, first + static_cast<std::ptrdiff_t>(stage), std::int64_t{0});
  const std::int64_t last = std::accumulate(first, blocks.end(), std::int64_t{-1});
  nn::BlockOptions result = options;
  result.stride = i == 0 ? strides[stage] : 1;
  if (last > 0) result.drop_path *= static_cast<double>(before) / static_cast<double>(last);
  return result;
}

namespace {

const PoolOptions kStemPool = {.kernel = 3, .stride = 2, .padding = 1};

Conv2dOptions small_convolution(std::int64_t stride, bool bias) {
  return {.kernel = 3, .stride = stride, .padding = 1, .bias = bias};
}

// Of a stem with one.
Conv2dOptions stem_convolution(const Plan& plan, bool bias) {
  if (plan.stem == Stem::small) return small_convolution(1, bias);
  return {.kernel = 7, .stride = 2, .padding = 3, .bias = bias};
}

// Channels between the convolutions of a deep stem.
std::int64_t half_stem(const Plan& plan) {
  return std::max<std::int64_t>(1, plan.stem_channels / 2);
}

// A deep stem's convolutions up to the third's result.
Sequential deep_stem(const Plan& plan, bool bias) {
  const std::int64_t half = half_stem(plan);
  return Sequential(Conv2d{plan.in_channels, half, small_convolution(2, bias)}, BatchNorm2d{half}, ReLU{},
                    Conv2d{half, half, small_convolution(1, bias)}, BatchNorm2d{half}, ReLU{},
                    Conv2d{half, plan.stem_channels, small_convolution(1, bias)});
}

// The blocks of a stage; `in` becomes the channels that they give.
template <class Basic, class Deep>
Sequential stage_of(const Plan& plan, std::size_t stage, std::int64_t& in) {
  Sequential blocks;
  for (std::int64_t i = 0; i < plan.blocks[stage]; ++i) {
    const BlockOptions options = plan.options_of(stage, i);
    if (plan.block == Block::basic) {
      blocks.push_back(Basic{in, plan.widths[stage], options});
    } else {
      blocks.push_back(Deep{in, plan.widths[stage], options});
    }
    in = plan.expansion() * plan.widths[stage];
  }
  return blocks;
}

}  // namespace

nn::Sequential chapter_network(const Plan& plan) {
  Sequential net, stem;
  if (plan.stem == Stem::deep) {
    stem = deep_stem(plan, true);
  } else {
    stem.push_back(Conv2d{plan.in_channels, plan.stem_channels, stem_convolution(plan, true)});
  }
  stem.push_back(BatchNorm2d{plan.stem_channels});
  stem.push_back(ReLU{});
  if (plan.stem != Stem::small) stem.push_back(MaxPool2d{kStemPool});
  net.push_back(std::move(stem));
  std::int64_t in = plan.stem_channels;
  for (std::size_t stage = 0; stage < plan.blocks.size(); ++stage) {
    const std::int64_t width = plan.widths[stage], out = plan.expansion() * width;
    Sequential blocks;
    for (std::int64_t i = 0; i < plan.blocks[stage]; ++i) {
      const BlockOptions own = plan.options_of(stage, i);
      const ResidualOptions options = {.use_1x1conv = own.stride > 1 || in != out,
                                       .stride = own.stride,
                                       .plain = own.shortcut == Shortcut::none,
                                       .drop_path = own.drop_path};
      if (plan.block == Block::basic) {
        blocks.push_back(Residual{in, width, options});
      } else {
        blocks.push_back(ResidualBottleneck{in, width, options});
      }
      in = out;
    }
    net.push_back(std::move(blocks));
  }
  net.push_back(GlobalAvgPool2d{});
  net.push_back(Flatten{});
  net.push_back(Linear{in, plan.classes});
  return net;
}

nn::Sequential torchvision_network(const Plan& plan) {
  Sequential net;
  if (plan.stem == Stem::deep) {
    net.push_back("conv1", deep_stem(plan, false));
  } else {
    net.push_back("conv1", Conv2d{plan.in_channels, plan.stem_channels, stem_convolution(plan, false)});
  }
  net.push_back("bn1", BatchNorm2d{plan.stem_channels});
  net.push_back("relu", ReLU{});
  if (plan.stem != Stem::small) net.push_back("maxpool", MaxPool2d{kStemPool});
  std::int64_t in = plan.stem_channels;
  for (std::size_t stage = 0; stage < plan.blocks.size(); ++stage) {
    net.push_back("layer" + std::to_string(stage + 1), stage_of<BasicBlock, Bottleneck>(plan, stage, in));
  }
  net.push_back("avgpool", GlobalAvgPool2d{});
  net.push_back("flatten", Flatten{});
  net.push_back("fc", Linear{in, plan.classes});
  return net;
}

nn::Sequential preactivation_network(const Plan& plan) {
  Sequential net, stem, stages;
  if (plan.stem == Stem::deep) {
    const std::int64_t half = half_stem(plan);
    stem.push_back("conv1", Conv2d{plan.in_channels, half, small_convolution(2, false)});
    stem.push_back("norm1", BatchNorm2d{half});
    stem.push_back("act1", ReLU{});
    stem.push_back("conv2", Conv2d{half, half, small_convolution(1, false)});
    stem.push_back("norm2", BatchNorm2d{half});
    stem.push_back("act2", ReLU{});
    stem.push_back("conv3", Conv2d{half, plan.stem_channels, small_convolution(1, false)});
  } else {
    stem.push_back("conv", Conv2d{plan.in_channels, plan.stem_channels, stem_convolution(plan, false)});
  }
  if (plan.stem != Stem::small) stem.push_back("pool", MaxPool2d{kStemPool});
  net.push_back("stem", std::move(stem));
  std::int64_t in = plan.stem_channels;
  for (std::size_t stage = 0; stage < plan.blocks.size(); ++stage) {
    Sequential holder;
    holder.push_back("blocks", stage_of<PreActBasic, PreActBottleneck>(plan, stage, in));
    stages.push_back(std::to_string(stage), std::move(holder));
  }
  net.push_back("stages", std::move(stages));
  net.push_back("norm", BatchNorm2d{in});
  net.push_back("act", ReLU{});
  Sequential head;
  head.push_back("global_pool", GlobalAvgPool2d{});
  Conv2d& classifier = head.push_back("fc", Conv2d{in, plan.classes, {.kernel = 1}});
  constexpr double kDeviation = 0.01;  // timm's, as is the bias of zeros
  classifier.parameters()[0].deviation = kDeviation;
  classifier.parameters()[1].deviation = 0;
  head.push_back("flatten", Flatten{});
  net.push_back("head", std::move(head));
  return net;
}

}  // namespace resnet::models

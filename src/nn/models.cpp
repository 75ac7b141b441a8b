#include "resnet/models.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/joined.h"
#include "base/nearest.h"

namespace resnet::models {
namespace {

// Source of the block counts: He et al., arXiv 1512.03385, table 1.
struct Configuration {
  const char* name;
  std::array<std::int64_t, 4> blocks;
  Block block;
  bool chapter;  // else torchvision's
};

constexpr std::array<Configuration, 10> kConfigurations = {{
    {"d2l_resnet18", {2, 2, 2, 2}, Block::basic, true},
    {"d2l_resnet34", {3, 4, 6, 3}, Block::basic, true},
    {"d2l_resnet50", {3, 4, 6, 3}, Block::bottleneck, true},
    {"d2l_resnet101", {3, 4, 23, 3}, Block::bottleneck, true},
    {"d2l_resnet152", {3, 8, 36, 3}, Block::bottleneck, true},
    {"resnet18", {2, 2, 2, 2}, Block::basic, false},
    {"resnet34", {3, 4, 6, 3}, Block::basic, false},
    {"resnet50", {3, 4, 6, 3}, Block::bottleneck, false},
    {"resnet101", {3, 4, 23, 3}, Block::bottleneck, false},
    {"resnet152", {3, 8, 36, 3}, Block::bottleneck, false},
}};

// What is to be built, checked and complete.
struct Plan {
  std::int64_t in_channels, classes;
  std::vector<std::int64_t> blocks, widths;
  Block block;
  Stem stem_kind;
  std::int64_t expansion() const { return block == Block::bottleneck ? 4 : 1; }
  std::int64_t stem() const { return widths.front(); }
};

Plan plan_of(const Configuration& configuration, const ResNetOptions& options) {
  Plan plan{options.in_channels.value_or(configuration.chapter ? 1 : 3),
            options.classes.value_or(configuration.chapter ? 10 : 1000),
            options.blocks,
            options.channels,
            options.block.value_or(configuration.block),
            options.stem};
  // Far beyond any network; they keep a slip of the finger from filling the memory.
  constexpr std::int64_t kMostBlocks = 512, kMostChannels = 1 << 16;  // blocks of all stages together
  if (plan.in_channels < 1 || plan.classes < 1) {
    throw ConfigError(std::string(configuration.name) + ": channels and classes must be at least 1");
  }
  constexpr std::int64_t kFirstWidth = 64;  // doubled at every stage
  if (plan.blocks.empty() && plan.widths.empty()) {
    plan.blocks.assign(configuration.blocks.begin(), configuration.blocks.end());
  }
  if (plan.blocks.empty()) {
    const auto& own = configuration.blocks;
    if (plan.widths.size() > own.size()) {
      throw ConfigError(std::string(configuration.name) + ": " + std::to_string(plan.widths.size()) +
                            " stages by ResNetOptions::channels, and no ResNetOptions::blocks for them",
                        "give ResNetOptions::blocks with as many numbers");
    }
    plan.blocks.assign(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(plan.widths.size()));
  }
  if (plan.widths.empty()) {
    for (std::size_t i = 0; i < plan.blocks.size(); ++i)
      plan.widths.push_back(kFirstWidth << std::min<std::size_t>(i, 16));
  }
  if (plan.blocks.size() != plan.widths.size()) {
    throw ConfigError(std::string(configuration.name) + ": " + std::to_string(plan.blocks.size()) +
                          " stages by ResNetOptions::blocks, " + std::to_string(plan.widths.size()) +
                          " by ResNetOptions::channels",
                      "give both as many numbers");
  }
  const auto within = [](const std::vector<std::int64_t>& counts, std::int64_t most) {
    return std::all_of(counts.begin(), counts.end(), [&](std::int64_t n) { return n >= 1 && n <= most; });
  };
  if (!within(plan.blocks, kMostBlocks) || !within(plan.widths, kMostChannels) ||
      std::accumulate(plan.blocks.begin(), plan.blocks.end(), std::int64_t{0}) > kMostBlocks) {
    throw ConfigError(std::string(configuration.name) + ": every stage needs 1 block or more, " +
                      std::to_string(kMostBlocks) + " in all at most, and 1 to " +
                      std::to_string(kMostChannels) + " channels");
  }
  return plan;
}

const nn::PoolOptions kStemPool = {.kernel = 3, .stride = 2, .padding = 1};

nn::Conv2dOptions stem_convolution(const Plan& plan) {
  if (plan.stem_kind == Stem::small) return {.kernel = 3, .padding = 1};
  return {.kernel = 7, .stride = 2, .padding = 3};
}

nn::Sequential chapter_network(const Plan& plan) {
  using namespace nn;
  Sequential net;
  Sequential stem(Conv2d{plan.in_channels, plan.stem(), stem_convolution(plan)}, BatchNorm2d{plan.stem()},
                  ReLU{});
  if (plan.stem_kind == Stem::large) stem.push_back(MaxPool2d{kStemPool});
  net.push_back(std::move(stem));
  std::int64_t in = plan.stem();
  for (std::size_t stage = 0; stage < plan.blocks.size(); ++stage) {
    const std::int64_t width = plan.widths[stage];
    const std::int64_t out = plan.expansion() * width;
    Sequential blocks;
    for (std::int64_t i = 0; i < plan.blocks[stage]; ++i) {
      // The first module comes after a pool of stride 2 and keeps the size.
      const std::int64_t stride = i == 0 && stage > 0 ? 2 : 1;
      const ResidualOptions options = {.use_1x1conv = stride > 1 || in != out, .stride = stride};
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
  using namespace nn;
  Sequential net;
  Conv2dOptions convolution = stem_convolution(plan);
  convolution.bias = false;
  net.push_back("conv1", Conv2d{plan.in_channels, plan.stem(), convolution});
  net.push_back("bn1", BatchNorm2d{plan.stem()});
  net.push_back("relu", ReLU{});
  if (plan.stem_kind == Stem::large) net.push_back("maxpool", MaxPool2d{kStemPool});
  std::int64_t in = plan.stem();
  for (std::size_t stage = 0; stage < plan.blocks.size(); ++stage) {
    const std::int64_t width = plan.widths[stage];
    Sequential blocks;
    for (std::int64_t i = 0; i < plan.blocks[stage]; ++i) {
      const std::int64_t stride = i == 0 && stage > 0 ? 2 : 1;
      if (plan.block == Block::basic) {
        blocks.push_back(BasicBlock{in, width, stride});
      } else {
        blocks.push_back(Bottleneck{in, width, stride});
      }
      in = plan.expansion() * width;
    }
    net.push_back("layer" + std::to_string(stage + 1), std::move(blocks));
  }
  net.push_back("avgpool", GlobalAvgPool2d{});
  net.push_back("flatten", Flatten{});
  net.push_back("fc", Linear{in, plan.classes});
  return net;
}

}  // namespace

std::vector<std::string> names() {
  std::vector<std::string> result;
  for (const Configuration& configuration : kConfigurations) result.emplace_back(configuration.name);
  return result;
}

nn::Sequential make(const std::string& name, const ResNetOptions& options) {
  for (const Configuration& configuration : kConfigurations) {
    if (name != configuration.name) continue;
    const Plan plan = plan_of(configuration, options);
    nn::Sequential net = configuration.chapter ? chapter_network(plan) : torchvision_network(plan);
    net.set_title(name);
    net.set_scheme(configuration.chapter ? nn::Scheme::chapter : nn::Scheme::torchvision);
    return net;
  }
  const std::string near = nearest(name, names());
  throw ConfigError("there is no model '" + name + "'", (near.empty() ? "" : "did you mean " + near + "? ") +
                                                            ("There are " + joined(names(), ", ")));
}

nn::Sequential d2l_resnet18(const ResNetOptions& options) {
  return make("d2l_resnet18", options);
}
nn::Sequential d2l_resnet34(const ResNetOptions& options) {
  return make("d2l_resnet34", options);
}
nn::Sequential d2l_resnet50(const ResNetOptions& options) {
  return make("d2l_resnet50", options);
}
nn::Sequential d2l_resnet101(const ResNetOptions& options) {
  return make("d2l_resnet101", options);
}
nn::Sequential d2l_resnet152(const ResNetOptions& options) {
  return make("d2l_resnet152", options);
}
nn::Sequential resnet18(const ResNetOptions& options) {
  return make("resnet18", options);
}
nn::Sequential resnet34(const ResNetOptions& options) {
  return make("resnet34", options);
}
nn::Sequential resnet50(const ResNetOptions& options) {
  return make("resnet50", options);
}
nn::Sequential resnet101(const ResNetOptions& options) {
  return make("resnet101", options);
}
nn::Sequential resnet152(const ResNetOptions& options) {
  return make("resnet152", options);
}

}  // namespace resnet::models

#include "resnet/models.h"

#include <algorithm>
#include <numeric>

#include "base/joined.h"
#include "base/nearest.h"
#include "nn/networks.h"

namespace resnet::models {
namespace {

// A name and its own options.
struct Row {
  const char* name;
  bool chapter;  // else torchvision's or timm's
  ResNetOptions own;
};

const std::vector<Row>& rows() {
  // Source of the block counts: He et al., arXiv 1512.03385, table 1.
  using Counts = std::vector<std::int64_t>;
  const Counts of18 = {2, 2, 2, 2}, of34 = {3, 4, 6, 3}, of101 = {3, 4, 23, 3}, of152 = {3, 8, 36, 3};
  constexpr Block basic = Block::basic, deep = Block::bottleneck;
  constexpr auto pooled = nn::Shortcut::avgpool;
  static const std::vector<Row> table = {
      {"d2l_resnet18", true, {.blocks = of18, .block = basic}},
      {"d2l_resnet34", true, {.blocks = of34, .block = basic}},
      {"d2l_resnet50", true, {.blocks = of34, .block = deep}},
      {"d2l_resnet101", true, {.blocks = of101, .block = deep}},
      {"d2l_resnet152", true, {.blocks = of152, .block = deep}},
      {"resnet18", false, {.blocks = of18, .block = basic}},
      {"resnet34", false, {.blocks = of34, .block = basic}},
      {"resnet50", false, {.blocks = of34, .block = deep}},
      {"resnet101", false, {.blocks = of101, .block = deep}},
      {"resnet152", false, {.blocks = of152, .block = deep}},
      {"wide_resnet50_2", false, {.blocks = of34, .block = deep, .width_per_group = 128}},
      {"wide_resnet101_2", false, {.blocks = of101, .block = deep, .width_per_group = 128}},
      {"resnext50_32x4d", false, {.blocks = of34, .block = deep, .groups = 32, .width_per_group = 4}},
      {"resnext101_32x8d", false, {.blocks = of101, .block = deep, .groups = 32, .width_per_group = 8}},
      {"resnext101_64x4d", false, {.blocks = of101, .block = deep, .groups = 64, .width_per_group = 4}},
      {"resnet18d", false, {.blocks = of18, .block = basic, .stem = Stem::deep, .shortcut = pooled}},
      {"resnet34d", false, {.blocks = of34, .block = basic, .stem = Stem::deep, .shortcut = pooled}},
      {"resnet50d", false, {.blocks = of34, .block = deep, .stem = Stem::deep, .shortcut = pooled}},
      {"resnet101d", false, {.blocks = of101, .block = deep, .stem = Stem::deep, .shortcut = pooled}},
      {"seresnet18", false, {.blocks = of18, .block = basic, .se_reduction = 16}},
      {"seresnet34", false, {.blocks = of34, .block = basic, .se_reduction = 16}},
      {"seresnet50", false, {.blocks = of34, .block = deep, .se_reduction = 16}},
      {"seresnext50_32x4d",
       false,
       {.blocks = of34, .block = deep, .groups = 32, .width_per_group = 4, .se_reduction = 16}},
      {"resnetv2_18", false, {.blocks = of18, .block = basic, .preactivation = true}},
      {"resnetv2_34", false, {.blocks = of34, .block = basic, .preactivation = true}},
      {"resnetv2_50", false, {.blocks = of34, .block = deep, .preactivation = true}},
      {"resnetv2_101", false, {.blocks = of101, .block = deep, .preactivation = true}},
  };
  return table;
}

[[noreturn]] void refuse(const Row& row, const std::string& what, const std::string& hint = "") {
  throw ConfigError(std::string(row.name) + ": " + what, hint);
}

// The stages: blocks, widths and strides of `plan`.
void plan_stages(Plan& plan, const Row& row, const ResNetOptions& options) {
  // Far beyond any network; they keep a slip of the finger from filling the memory.
  constexpr std::int64_t kMostBlocks = 512, kMostChannels = 1 << 16;  // blocks of all stages together
  constexpr std::int64_t kFirstWidth = 64;                            // doubled at every stage
  constexpr std::int64_t kMostStride = 64;
  plan.blocks = options.blocks;
  plan.widths = options.channels;
  plan.strides = options.strides;
  if (plan.blocks.empty()) {
    const std::size_t stages = !plan.widths.empty() ? plan.widths.size() : plan.strides.size();
    const auto& own = row.own.blocks;
    if (stages > own.size()) {
      refuse(row,
             std::to_string(stages) + " stages by ResNetOptions::" +
                 (plan.widths.empty() ? "strides" : "channels") + ", and no ResNetOptions::blocks for them",
             "give ResNetOptions::blocks with as many numbers");
    }
    plan.blocks.assign(own.begin(),
                       stages == 0 ? own.end() : own.begin() + static_cast<std::ptrdiff_t>(stages));
  }
  for (std::size_t i = plan.widths.size(); options.channels.empty() && i < plan.blocks.size(); ++i)
    plan.widths.push_back(kFirstWidth << std::min<std::size_t>(i, 16));
  for (std::size_t i = plan.strides.size(); options.strides.empty() && i < plan.blocks.size(); ++i)
    plan.strides.push_back(i == 0 ? 1 : 2);
  for (const auto& [count, name] :
       {std::pair(plan.widths.size(), "channels"), std::pair(plan.strides.size(), "strides")}) {
    if (count == plan.blocks.size()) continue;
    refuse(row,
           std::to_string(plan.blocks.size()) + " stages by ResNetOptions::blocks, " + std::to_string(count) +
               " by ResNetOptions::" + name,
           "give both as many numbers");
  }
  const auto within = [](const std::vector<std::int64_t>& counts, std::int64_t most) {
    return std::all_of(counts.begin(), counts.end(), [&](std::int64_t n) { return n >= 1 && n <= most; });
  };
  if (!within(plan.blocks, kMostBlocks) || !within(plan.widths, kMostChannels) ||
      std::accumulate(plan.blocks.begin(), plan.blocks.end(), std::int64_t{0}) > kMostBlocks) {
    refuse(row, "every stage needs 1 block or more, " + std::to_string(kMostBlocks) +
                    " in all at most, and 1 to " + std::to_string(kMostChannels) + " channels");
  }
  if (!within(plan.strides, kMostStride)) {
    refuse(row, "ResNetOptions::strides must be 1 to " + std::to_string(kMostStride));
  }
}

// What the kind of block, or the chapter's, does not have.
void check_options(const Plan& plan, const Row& row, bool preactivation) {
  constexpr std::int64_t kMost = 1 << 16;
  const nn::BlockOptions& options = plan.options;
  const nn::BlockOptions usual;
  const bool divided = options.groups != usual.groups || options.width_per_group != usual.width_per_group;
  const auto within = [](std::int64_t n, std::int64_t least) { return n >= least && n <= kMost; };
  if (!within(options.groups, 1) || !within(options.width_per_group, 1) || !within(options.se_reduction, 0) ||
      !within(plan.stem_channels, 1)) {
    refuse(row,
           "ResNetOptions::groups, ResNetOptions::width_per_group and ResNetOptions::stem_channels must be 1 "
           "to 65536, ResNetOptions::se_reduction 0 to 65536");
  }
  if (!(options.drop_path >= 0 && options.drop_path < 1)) {
    refuse(row, "ResNetOptions::drop_path must be at least 0 and below 1");
  }
  if (row.chapter &&
      (divided || options.se_reduction != 0 || preactivation || options.shortcut == nn::Shortcut::avgpool)) {
    refuse(
        row,
        "the chapter's networks have no groups, squeeze-and-excitation, pre-activation or pooled shortcuts",
        "take resnet18 or another of torchvision's");
  }
  if (divided && plan.block == Block::basic) {
    refuse(row, "ResNetOptions::groups and ResNetOptions::width_per_group are for bottlenecks",
           "give 1 and 64, or ResNetOptions::block bottleneck");
  }
  for (const std::int64_t width : plan.widths) {
    const std::int64_t inner = width * options.width_per_group / usual.width_per_group;
    if (inner >= 1 && inner * options.groups <= kMost) continue;
    refuse(row,
           "a stage's channels times ResNetOptions::width_per_group / 64 must be at least 1, and times "
           "ResNetOptions::groups at most 65536",
           "there are stages of " + std::to_string(width) + " channels");
  }
  if (options.shortcut == nn::Shortcut::none && options.drop_path > 0) {
    refuse(row, "ResNetOptions::drop_path drops a block's branch, and without a shortcut all of it");
  }
}

Plan plan_of(const Row& row, const ResNetOptions& options) {
  const ResNetOptions& own = row.own;
  Plan plan;
  plan.in_channels = options.in_channels.value_or(row.chapter ? 1 : 3);
  plan.classes = options.classes.value_or(row.chapter ? 10 : 1000);
  if (plan.in_channels < 1 || plan.classes < 1) refuse(row, "channels and classes must be at least 1");
  plan_stages(plan, row, options);
  plan.block = options.block.value_or(own.block.value_or(Block::basic));
  plan.stem = options.stem.value_or(own.stem.value_or(Stem::large));
  plan.stem_channels = options.stem_channels.value_or(plan.widths.front());
  const nn::BlockOptions usual;
  plan.options = {.shortcut = options.shortcut.value_or(own.shortcut.value_or(usual.shortcut)),
                  .groups = options.groups.value_or(own.groups.value_or(usual.groups)),
                  .width_per_group =
                      options.width_per_group.value_or(own.width_per_group.value_or(usual.width_per_group)),
                  .se_reduction = options.se_reduction.value_or(own.se_reduction.value_or(0)),
                  .drop_path = options.drop_path.value_or(0)};
  return plan;
}

nn::Sequential network(const Row& row, const ResNetOptions& options) {
  const Plan plan = plan_of(row, options);
  const bool preactivation = options.preactivation.value_or(row.own.preactivation.value_or(false));
  check_options(plan, row, preactivation);
  if (row.chapter) return chapter_network(plan);
  return preactivation ? preactivation_network(plan) : torchvision_network(plan);
}

// The names, of those that differ in their depths alone the first in full: "resnet18, 34, 50; seresnet18,
// 34".
std::string families() {
  std::string result, before;
  for (const std::string& name : names()) {
    std::size_t depth = name.find_first_of("0123456789", name.find("res"));
    if (name.compare(depth - 1, 3, "v2_") == 0) depth += 2;
    const std::string family = name.substr(0, depth),
                      ending = name.substr(name.find_last_of("0123456789") + 1);
    const bool same = before == family + "*" + ending;
    result += same ? ", " + name.substr(depth) : (result.empty() ? "" : "; ") + name;
    before = family + "*" + ending;
  }
  return result;
}

}  // namespace

std::vector<std::string> names() {
  std::vector<std::string> result;
  for (const Row& row : rows()) result.emplace_back(row.name);
  return result;
}

nn::Sequential make(const std::string& name, const ResNetOptions& options) {
  for (const Row& row : rows()) {
    if (name != row.name) continue;
    nn::Sequential net = network(row, options);
    net.set_title(name);
    net.set_scheme(row.chapter ? nn::Scheme::chapter : nn::Scheme::torchvision);
    return net;
  }
  const std::string near = nearest(name, names());
  throw ConfigError("there is no model '" + name + "'",
                    (near.empty() ? "" : "did you mean " + near + "? ") + "There are " + families());
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

#include <algorithm>

#include "resnet/nn.h"

namespace resnet::nn {

SqueezeExcite::SqueezeExcite(std::int64_t channels, std::int64_t reduction) {
  if (reduction < 1) throw ConfigError("SqueezeExcite: reduction must be at least 1");
  constexpr std::int64_t kStep = 8;
  const std::int64_t halves = 2 * channels + kStep * reduction;  // of (channels / reduction + 4) * reduction
  const std::int64_t hidden = std::max(kStep, halves / (2 * reduction) / kStep * kStep);
  fc1_ = &add("fc1", Conv2d{channels, hidden, {.kernel = 1}});
  fc2_ = &add("fc2", Conv2d{hidden, channels, {.kernel = 1}});
}

Value SqueezeExcite::operator()(Value x) const {
  return x * sigmoid((*fc2_)(relu((*fc1_)(global_avg_pool(x)))));
}

void ResidualBlock::add_end(std::int64_t channels, std::int64_t se_reduction, double drop_path) {
  branch_end_ = children().back().module.get();
  if (se_reduction != 0) se_ = &add("se", SqueezeExcite{channels, se_reduction});
  if (drop_path != 0) drop_path_ = &add("drop_path", DropPath{drop_path});
}

void ResidualBlock::add_downsample(std::int64_t in, std::int64_t out, const BlockOptions& options,
                                   bool norm) {
  if (plain_ || (options.stride == 1 && in == out)) return;
  const bool pools = options.shortcut == Shortcut::avgpool;
  Sequential path;
  if (pools && options.stride != 1) {
    path.push_back(
        norm ? "0" : "pool",
        AvgPool2d{{.kernel = 2, .stride = options.stride, .count_padding = false, .ceil_mode = true}});
  }
  const std::int64_t stride = pools ? 1 : options.stride;
  const std::string conv = norm ? (pools ? "1" : "0") : "conv";
  path.push_back(conv, Conv2d{in, out, {.kernel = 1, .stride = stride, .bias = false}});
  if (norm) path.push_back(pools ? "2" : "1", BatchNorm2d{out});
  around_ = &add("downsample", std::move(path));
}

Value ResidualBlock::join(Value branch, Value x) const {
  if (se_ != nullptr) branch = (*se_)(branch);
  if (drop_path_ != nullptr) branch = (*drop_path_)(branch);
  if (plain_) return branch;
  return branch + (around_ != nullptr ? (*around_)(x) : x);
}

Residual::Residual(std::int64_t in, std::int64_t out, ResidualOptions options)
    : ResidualBlock(options.plain),
      conv1_(&add("conv1", Conv2d{in, out, {.kernel = 3, .stride = options.stride, .padding = 1}})),
      conv2_(&add("conv2", Conv2d{out, out, {.kernel = 3, .padding = 1}})) {
  if (options.use_1x1conv && !options.plain) {
    around_ = &add("conv3", Conv2d{in, out, {.kernel = 1, .stride = options.stride}});
  }
  bn1_ = &add("bn1", BatchNorm2d{out});
  bn2_ = &add("bn2", BatchNorm2d{out});
  add_end(out, 0, options.drop_path);
}

Value Residual::operator()(Value x) const {
  const Value y = relu((*bn1_)((*conv1_)(x)));
  return relu(join((*bn2_)((*conv2_)(y)), x));
}

namespace {

constexpr std::int64_t kExpansion = 4;  // channels out of a bottleneck for each of its width

// Without a bias: a norm or nothing follows.
Conv2d conv1x1(std::int64_t in, std::int64_t out) {
  return Conv2d{in, out, {.kernel = 1, .bias = false}};
}

Conv2d conv3x3(std::int64_t in, std::int64_t out, std::int64_t stride = 1, std::int64_t groups = 1) {
  return Conv2d{in, out, {.kernel = 3, .stride = stride, .padding = 1, .groups = groups, .bias = false}};
}

// Channels within a bottleneck.
std::int64_t inner_width(std::int64_t width, const BlockOptions& options) {
  constexpr std::int64_t kBaseWidth = 64;
  if (options.groups < 1 || options.width_per_group < 1) {
    throw ConfigError("Bottleneck: groups and width_per_group must be at least 1");
  }
  const std::int64_t of_group = width * options.width_per_group / kBaseWidth;
  if (of_group < 1) {
    throw ConfigError("Bottleneck: " + std::to_string(width) + " channels with width_per_group " +
                          std::to_string(options.width_per_group) + " leave none for a group",
                      "give at least 64 / width_per_group channels");
  }
  return of_group * options.groups;
}

void require_undivided(const BlockOptions& options) {
  if (options.groups == 1 && options.width_per_group == BlockOptions{}.width_per_group) return;
  throw ConfigError("BasicBlock: groups and width_per_group are a bottleneck's");
}

}  // namespace

ResidualBottleneck::ResidualBottleneck(std::int64_t in, std::int64_t width, ResidualOptions options)
    : ResidualBlock(options.plain),
      conv1_(&add("conv1", Conv2d{in, width, {.kernel = 1}})),
      conv2_(&add("conv2", Conv2d{width, width, {.kernel = 3, .stride = options.stride, .padding = 1}})),
      conv3_(&add("conv3", Conv2d{width, kExpansion * width, {.kernel = 1}})) {
  if (options.use_1x1conv && !options.plain) {
    around_ = &add("conv4", Conv2d{in, kExpansion * width, {.kernel = 1, .stride = options.stride}});
  }
  bn1_ = &add("bn1", BatchNorm2d{width});
  bn2_ = &add("bn2", BatchNorm2d{width});
  bn3_ = &add("bn3", BatchNorm2d{kExpansion * width});
  add_end(kExpansion * width, 0, options.drop_path);
}

Value ResidualBottleneck::operator()(Value x) const {
  const Value y = relu((*bn1_)((*conv1_)(x)));
  const Value z = relu((*bn2_)((*conv2_)(y)));
  return relu(join((*bn3_)((*conv3_)(z)), x));
}

BasicBlock::BasicBlock(std::int64_t in, std::int64_t width, BlockOptions options)
    : ResidualBlock(options.shortcut == Shortcut::none),
      conv1_(&add("conv1", conv3x3(in, width, options.stride))),
      bn1_(&add("bn1", BatchNorm2d{width})),
      conv2_(&add("conv2", conv3x3(width, width))),
      bn2_(&add("bn2", BatchNorm2d{width})) {
  require_undivided(options);
  add_end(width, options.se_reduction, options.drop_path);
  add_downsample(in, width, options, true);
}

Value BasicBlock::operator()(Value x) const {
  const Value y = relu((*bn1_)((*conv1_)(x)));
  return relu(join((*bn2_)((*conv2_)(y)), x));
}

Bottleneck::Bottleneck(std::int64_t in, std::int64_t width, BlockOptions options)
    : ResidualBlock(options.shortcut == Shortcut::none) {
  const std::int64_t inner = inner_width(width, options), out = kExpansion * width;
  conv1_ = &add("conv1", conv1x1(in, inner));
  bn1_ = &add("bn1", BatchNorm2d{inner});
  conv2_ = &add("conv2", conv3x3(inner, inner, options.stride, options.groups));
  bn2_ = &add("bn2", BatchNorm2d{inner});
  conv3_ = &add("conv3", conv1x1(inner, out));
  bn3_ = &add("bn3", BatchNorm2d{out});
  add_end(out, options.se_reduction, options.drop_path);
  add_downsample(in, out, options, true);
}

Value Bottleneck::operator()(Value x) const {
  const Value y = relu((*bn1_)((*conv1_)(x)));
  const Value z = relu((*bn2_)((*conv2_)(y)));
  return relu(join((*bn3_)((*conv3_)(z)), x));
}

PreActBasic::PreActBasic(std::int64_t in, std::int64_t width, BlockOptions options)
    : ResidualBlock(options.shortcut == Shortcut::none) {
  require_undivided(options);
  add_downsample(in, width, options, false);
  norm1_ = &add("norm1", BatchNorm2d{in});
  conv1_ = &add("conv1", conv3x3(in, width, options.stride));
  norm2_ = &add("norm2", BatchNorm2d{width});
  conv2_ = &add("conv2", conv3x3(width, width));
  add_end(width, options.se_reduction, options.drop_path);
}

Value PreActBasic::operator()(Value x) const {
  const Value active = relu((*norm1_)(x));
  const Value y = relu((*norm2_)((*conv1_)(active)));
  return join((*conv2_)(y), around_ != nullptr ? active : x);
}

PreActBottleneck::PreActBottleneck(std::int64_t in, std::int64_t width, BlockOptions options)
    : ResidualBlock(options.shortcut == Shortcut::none) {
  const std::int64_t inner = inner_width(width, options), out = kExpansion * width;
  add_downsample(in, out, options, false);
  norm1_ = &add("norm1", BatchNorm2d{in});
  conv1_ = &add("conv1", conv1x1(in, inner));
  norm2_ = &add("norm2", BatchNorm2d{inner});
  conv2_ = &add("conv2", conv3x3(inner, inner, options.stride, options.groups));
  norm3_ = &add("norm3", BatchNorm2d{inner});
  conv3_ = &add("conv3", conv1x1(inner, out));
  add_end(out, options.se_reduction, options.drop_path);
}

Value PreActBottleneck::operator()(Value x) const {
  const Value active = relu((*norm1_)(x));
  const Value y = relu((*norm2_)((*conv1_)(active)));
  const Value z = relu((*norm3_)((*conv2_)(y)));
  return join((*conv3_)(z), around_ != nullptr ? active : x);
}

}  // namespace resnet::nn

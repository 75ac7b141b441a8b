#include "resnet/nn.h"

namespace resnet::nn {

Residual::Residual(std::int64_t in, std::int64_t out, ResidualOptions options)
    : conv1_(&add("conv1", Conv2d{in, out, {.kernel = 3, .stride = options.stride, .padding = 1}})),
      conv2_(&add("conv2", Conv2d{out, out, {.kernel = 3, .padding = 1}})),
      conv3_(options.use_1x1conv ? &add("conv3", Conv2d{in, out, {.kernel = 1, .stride = options.stride}})
                                 : nullptr),
      bn1_(&add("bn1", BatchNorm2d{out})),
      bn2_(&add("bn2", BatchNorm2d{out})) {}

Value Residual::operator()(Value x) const {
  const Value y = relu((*bn1_)((*conv1_)(x)));
  const Value f = (*bn2_)((*conv2_)(y));
  return relu(f + (conv3_ != nullptr ? (*conv3_)(x) : x));
}

namespace {
constexpr std::int64_t kExpansion = 4;  // channels out of a bottleneck for each of its width
}  // namespace

ResidualBottleneck::ResidualBottleneck(std::int64_t in, std::int64_t width, ResidualOptions options)
    : conv1_(&add("conv1", Conv2d{in, width, {.kernel = 1}})),
      conv2_(&add("conv2", Conv2d{width, width, {.kernel = 3, .stride = options.stride, .padding = 1}})),
      conv3_(&add("conv3", Conv2d{width, kExpansion * width, {.kernel = 1}})),
      conv4_(options.use_1x1conv
                 ? &add("conv4", Conv2d{in, kExpansion * width, {.kernel = 1, .stride = options.stride}})
                 : nullptr),
      bn1_(&add("bn1", BatchNorm2d{width})),
      bn2_(&add("bn2", BatchNorm2d{width})),
      bn3_(&add("bn3", BatchNorm2d{kExpansion * width})) {}

Value ResidualBottleneck::operator()(Value x) const {
  const Value y = relu((*bn1_)((*conv1_)(x)));
  const Value z = relu((*bn2_)((*conv2_)(y)));
  const Value f = (*bn3_)((*conv3_)(z));
  return relu(f + (conv4_ != nullptr ? (*conv4_)(x) : x));
}

namespace {

Sequential downsample(std::int64_t in, std::int64_t out, std::int64_t stride) {
  return Sequential(Conv2d{in, out, {.kernel = 1, .stride = stride, .bias = false}}, BatchNorm2d{out});
}

}  // namespace

BasicBlock::BasicBlock(std::int64_t in, std::int64_t width, std::int64_t stride)
    : conv1_(&add("conv1", Conv2d{in, width, {.kernel = 3, .stride = stride, .padding = 1, .bias = false}})),
      bn1_(&add("bn1", BatchNorm2d{width})),
      conv2_(&add("conv2", Conv2d{width, width, {.kernel = 3, .padding = 1, .bias = false}})),
      bn2_(&add("bn2", BatchNorm2d{width})),
      downsample_(stride != 1 || in != width ? &add("downsample", downsample(in, width, stride)) : nullptr) {}

Value BasicBlock::operator()(Value x) const {
  const Value y = relu((*bn1_)((*conv1_)(x)));
  const Value f = (*bn2_)((*conv2_)(y));
  return relu(f + (downsample_ != nullptr ? (*downsample_)(x) : x));
}

Bottleneck::Bottleneck(std::int64_t in, std::int64_t width, std::int64_t stride)
    : conv1_(&add("conv1", Conv2d{in, width, {.kernel = 1, .bias = false}})),
      bn1_(&add("bn1", BatchNorm2d{width})),
      conv2_(
          &add("conv2", Conv2d{width, width, {.kernel = 3, .stride = stride, .padding = 1, .bias = false}})),
      bn2_(&add("bn2", BatchNorm2d{width})),
      conv3_(&add("conv3", Conv2d{width, kExpansion * width, {.kernel = 1, .bias = false}})),
      bn3_(&add("bn3", BatchNorm2d{kExpansion * width})),
      downsample_(stride != 1 || in != kExpansion * width
                      ? &add("downsample", downsample(in, kExpansion * width, stride))
                      : nullptr) {}

Value Bottleneck::operator()(Value x) const {
  const Value y = relu((*bn1_)((*conv1_)(x)));
  const Value z = relu((*bn2_)((*conv2_)(y)));
  const Value f = (*bn3_)((*conv3_)(z));
  return relu(f + (downsample_ != nullptr ? (*downsample_)(x) : x));
}

}  // namespace resnet::nn

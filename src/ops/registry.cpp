#include <algorithm>
#include <array>

#include "ops/activation.h"
#include "ops/adamw.h"
#include "ops/add.h"
#include "ops/average.h"
#include "ops/avg_pool.h"
#include "ops/batch_norm.h"
#include "ops/channel_sum.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/conv2d_pooled.h"
#include "ops/cross_entropy.h"
#include "ops/dropout.h"
#include "ops/flatten.h"
#include "ops/max_pool.h"
#include "ops/mul.h"
#include "ops/relu.h"
#include "ops/sgd.h"

namespace resnet::ops {
namespace {

template <class O>
constexpr Kind readable() {
  return {O::kName, &O::read};
}
template <class O>
constexpr Kind without_options() {
  return {O::kName, &read_without_options<O>};
}
template <class O>
constexpr Kind compiled() {
  return {O::kName};
}

constexpr std::array kKinds = {
    readable<Conv2d>(),
    compiled<Conv2dInputGradient>(),
    compiled<Conv2dWeightGradient>(),
    compiled<Conv2dPooled>(),
    compiled<Conv2dPooledWeightGradient>(),
    readable<Linear>(),
    compiled<LinearInputGradient>(),
    compiled<LinearWeightGradient>(),
    readable<BatchNorm>(),
    compiled<BatchNormGradient>(),
    without_options<Relu>(),
    compiled<ReluGradient>(),
    without_options<Add>(),
    compiled<ChannelSum>(),
    without_options<Sigmoid>(),
    compiled<SigmoidGradient>(),
    without_options<Silu>(),
    compiled<SiluGradient>(),
    without_options<Gelu>(),
    compiled<GeluGradient>(),
    without_options<Mul>(),
    compiled<MulGateGradient>(),
    without_options<Concat>(),
    compiled<Slice>(),
    readable<MaxPool>(),
    compiled<MaxPoolGradient>(),
    readable<AvgPool>(),
    readable<GlobalAvgPool>(),
    compiled<AvgPoolGradient>(),
    compiled<GlobalAvgPoolGradient>(),
    without_options<Flatten>(),
    compiled<Unflatten>(),
    readable<Dropout>(),
    compiled<CrossEntropy>(),
    compiled<CrossEntropyGradient>(),
    compiled<Sgd>(),
    compiled<AdamW>(),
    compiled<Average>(),
};

}  // namespace

std::span<const Kind> all() {
  return kKinds;
}

Op read(std::string_view name, const Attributes& attributes) {
  const auto found = std::ranges::find(kKinds, name, &Kind::name);
  if (found == kKinds.end()) return nullptr;
  if (found->read == nullptr) {
    throw FormatError("its network has a '" + std::string(name) + "', which is not for inference",
                      "the file was not written by this program, or is damaged");
  }
  return found->read(attributes);
}

}  // namespace resnet::ops

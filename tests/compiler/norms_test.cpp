// Which parts of batch norms their neighbours do, and that a step computes the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include "compiler/passes.h"
#include "compiler/training.h"
#include "cpu/target.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"
#include "resnet/engine.h"
#include "support/networks.h"

namespace resnet {
namespace {

using test::expect_same_gradients;
using test::initialised;

using ops::BatchNorm;
using ops::BatchNormGradient;
using ops::BatchNormGradientOptions;
using ops::BatchNormOptions;
using ops::Conv2d;
using ops::Conv2dInputGradient;
using ops::Conv2dWeightGradient;
using ops::ConvInputGradientOptions;
using ops::ConvOptions;
using ops::ConvWeightGradientOptions;
using ops::Gate;

// Operations of type O in a fused graph for whose options `holds` (a member or a function) is true.
template <class O, class Holds>
int count(const graph::Graph& graph, Holds holds) {
  return static_cast<int>(std::count_if(graph.nodes().begin(), graph.nodes().end(), [&](const auto& node) {
    const O* operation = ops::as<O>(node);
    return operation != nullptr && std::invoke(holds, operation->options());
  }));
}

bool makes_sums(const ConvInputGradientOptions& options) {
  return options.sums != Gate::none;
}

graph::Graph fused(const graph::Graph& graph) {
  const cpu::Target target(Isa::avx2);
  return compiler::fuse_norms(compiler::store(compiler::fuse(graph, target), target, DType::f32), target)
      .graph;
}
graph::Graph fused_step(const nn::Module& net, const Shape& images) {
  return fused(compiler::training_step(nn::trace(net, images, Mode::train), compiler::StepKind::update));
}

// Maps and channels for which the cost rule takes Winograd.
const Shape kImages{4, 32, 13, 12};
nn::Conv2d conv3x3(bool bias = true) {
  return nn::Conv2d{32, 32, {.kernel = 3, .padding = 1, .bias = bias}};
}
nn::Linear head() {
  return nn::Linear{32 * 13 * 12, 5};
}

// The images need no gradient, so that the ReLU's goes to the norm's pool alone.
TEST(FuseNorms, AStemGatedByAReluBehindASumKeepsThatGate) {
  struct Net : nn::Module {
    nn::Conv2d& conv = add("conv", nn::Conv2d{3, 3, {.kernel = 3, .padding = 1}});
    nn::BatchNorm2d& bn = add("bn", nn::BatchNorm2d{3});
    nn::MaxPool2d& pool = add("pool", nn::MaxPool2d{{.kernel = 3, .stride = 1, .padding = 1}});
    nn::Flatten& flatten = add("flatten", nn::Flatten{});
    nn::Linear& fc = add("fc", nn::Linear{3 * 16 * 16, 5});
    Value operator()(Value x) const override { return fc(flatten(relu(pool(bn(conv(x))) + x))); }
  };
  Net net;
  nn::init(net, nn::Scheme::chapter, 3);
  const Shape images{4, 3, 16, 16};
  const graph::Graph step = fused_step(net, images);
  int pooled = 0;
  for (const graph::Node& node : step.nodes()) pooled += node.op->name().starts_with("conv2d_pooled") ? 1 : 0;
  EXPECT_EQ(pooled, 2) << "the case is another one";
  expect_same_gradients(net, images);
}

TEST(FuseNorms, ANormBetweenTwoConvolutionsLeavesOnlyCoefficients) {
  const auto net = initialised(nn::Sequential(conv3x3(), nn::BatchNorm2d{32}, nn::ReLU{}, conv3x3(false),
                                              nn::BatchNorm2d{32}, nn::ReLU{}, nn::Flatten{}, head()));
  const graph::Graph step = fused_step(net, kImages);
  EXPECT_EQ(count<Conv2d>(step, &ConvOptions::statistics), 2);
  EXPECT_EQ(count<Conv2d>(step, &ConvOptions::norm_prologue), 1);
  EXPECT_EQ(count<BatchNorm>(step, &BatchNormOptions::coefficients_only), 1);
  EXPECT_EQ(count<Conv2dWeightGradient>(step, &ConvWeightGradientOptions::norm_prologue), 1);
  EXPECT_EQ(count<Conv2dInputGradient>(step, makes_sums), 1);
  EXPECT_EQ(count<BatchNormGradient>(step, &BatchNormGradientOptions::coefficients_only), 1);
  EXPECT_EQ(count<Conv2dWeightGradient>(step, &ConvWeightGradientOptions::norm_gradient_prologue), 1);
  expect_same_gradients(net, kImages);
}

TEST(FuseNorms, ABlocksGradientIsGatedByAMaskWhereItIsMade) {
  nn::ResidualOptions options;
  const auto net = initialised(
      nn::Sequential(nn::Residual{32, 32, options}, nn::Residual{32, 32, options}, nn::Flatten{}, head()));
  const graph::Graph step = fused_step(net, kImages);
  const auto by_mask = [](const ConvInputGradientOptions& o) { return o.sums == Gate::mask; };
  EXPECT_EQ(count<Conv2dInputGradient>(step, by_mask), 1);  // the first block's result
  EXPECT_EQ(count<Conv2dInputGradient>(step, makes_sums), 3);
  EXPECT_EQ(count<BatchNormGradient>(step, &BatchNormGradientOptions::residual),
            1);  // the last one's, whose gradient no convolution makes
  EXPECT_EQ(count<BatchNorm>(step, &BatchNormOptions::relu_mask), 2);
  expect_same_gradients(net, kImages);
}

TEST(FuseNorms, ANormWhoseResultOthersReadIsApplied) {
  // A pool reads z beside the convolution.
  struct Net : nn::Module {
    nn::Conv2d& conv1 = add("conv1", conv3x3());
    nn::BatchNorm2d& bn1 = add("bn1", nn::BatchNorm2d{32});
    nn::Conv2d& conv2 = add("conv2", conv3x3());
    nn::Flatten& flatten = add("flatten", nn::Flatten{});
    nn::Linear& fc = add("fc", head());
    Value operator()(Value x) const override {
      const Value z = relu(bn1(conv1(x)));
      return fc(flatten(conv2(z) + z));
    }
  };
  Net net;
  nn::init(net, nn::Scheme::chapter, 3);
  const graph::Graph step = fused_step(net, kImages);
  EXPECT_EQ(count<BatchNorm>(step, &BatchNormOptions::coefficients_only), 0);
  EXPECT_EQ(count<BatchNorm>(step, &BatchNormOptions::stats_from_producer), 1);
  expect_same_gradients(net, kImages);
}

// A stem, and behind it what reads its result twice.
nn::Sequential stem(nn::Conv2d conv, std::int64_t side) {
  return initialised(nn::Sequential(std::move(conv), nn::BatchNorm2d{32}, nn::ReLU{},
                                    nn::MaxPool2d{{.kernel = 3, .stride = 2, .padding = 1}},
                                    nn::Residual{32, 32, {}}, nn::Flatten{},
                                    nn::Linear{32 * side * side, 5}));
}

TEST(FuseNorms, AStemIsStoredAsWhatItsPoolChooses) {
  const auto net = stem(nn::Conv2d{1, 32, {.kernel = 7, .stride = 2, .padding = 3}}, 16);
  const Shape images{4, 1, 64, 64};
  const graph::Graph step = fused_step(net, images);
  int pooled = 0;
  for (const graph::Node& node : step.nodes()) {
    pooled += node.op->name().starts_with("conv2d_pooled") ? 1 : 0;
    for (const graph::ValueId id : node.outputs) {
      if (id == graph::kNone) continue;
      const Shape& shape = step.value(id).type.shape;
      if (shape.rank() == 4) EXPECT_LE(shape.elements(), 4 * 32 * 16 * 16) << node.op->name();
    }
  }
  EXPECT_EQ(pooled, 2);
  EXPECT_EQ(count<BatchNormGradient>(step, &BatchNormGradientOptions::samples), 1);
  EXPECT_EQ(count<BatchNormGradient>(step, &BatchNormGradientOptions::coefficients_only),
            2);  // all norms but the last
  expect_same_gradients(net, images);
}

TEST(FuseNorms, AStemWhoseInputNeedsAGradientKeepsItsMaps) {
  const auto net = initialised(nn::Sequential(
      conv3x3(false), nn::Conv2d{32, 8, {.kernel = 1}}, nn::BatchNorm2d{8}, nn::ReLU{},
      nn::MaxPool2d{{.kernel = 3, .stride = 2, .padding = 1}}, nn::Flatten{}, nn::Linear{8 * 7 * 6, 5}));
  const graph::Graph step = fused_step(net, kImages);
  for (const graph::Node& node : step.nodes())
    EXPECT_FALSE(node.op->name().starts_with("conv2d_pooled")) << node.name;
  expect_same_gradients(net, kImages);
}

TEST(FuseNorms, InEvaluationAStemIsStoredAsWhatItsPoolChoosesToo) {
  const auto net = stem(nn::Conv2d{3, 32, {.kernel = 3, .stride = 2, .padding = 1}}, 8);
  const Shape images{4, 3, 32, 32};
  const graph::Graph graph = fused(nn::trace(net, images, Mode::eval));
  EXPECT_EQ(graph.nodes()[0].op->name(), "conv2d_pooled");
  const test::Examples e = test::examples(images, 5);
  const Network network = network_of(net, images);
  const Tensor plain =
      make_native_engine(network, {.threads = 2, .fuse = false})->infer(e.images.view<float>());
  const Tensor fused = make_native_engine(network, {.threads = 2})->infer(e.images.view<float>());
  for (std::size_t i = 0; i < plain.values().size(); ++i)
    EXPECT_NEAR(fused.values()[i], plain.values()[i], 1e-5F * std::abs(plain.values()[i]) + 1e-5F);
}

TEST(FuseNorms, DirectConvolutionsHaveStatisticsAndLeaveTheRest) {
  const auto net = initialised(nn::Sequential(
      nn::Conv2d{32, 16, {.kernel = 1}}, nn::BatchNorm2d{16}, nn::ReLU{}, nn::Conv2d{16, 16, {.kernel = 1}},
      nn::BatchNorm2d{16}, nn::ReLU{}, nn::Flatten{}, nn::Linear{16 * 13 * 12, 5}));
  const graph::Graph step = fused_step(net, kImages);
  EXPECT_EQ(count<Conv2d>(step, &ConvOptions::statistics), 2);
  EXPECT_EQ(count<Conv2dInputGradient>(step, makes_sums), 1);
  EXPECT_EQ(count<BatchNorm>(step, &BatchNormOptions::coefficients_only), 0);
  EXPECT_EQ(count<BatchNormGradient>(step, &BatchNormGradientOptions::coefficients_only), 0);
  expect_same_gradients(net, kImages);
}

TEST(FuseNorms, InEvaluationAConvolutionReadsThroughItsNorm) {
  const auto net = initialised(nn::Sequential(conv3x3(), nn::BatchNorm2d{32}, nn::ReLU{}, conv3x3(),
                                              nn::BatchNorm2d{32}, nn::Flatten{}, head()));
  const graph::Graph graph = fused(nn::trace(net, kImages, Mode::eval));
  EXPECT_EQ(count<Conv2d>(graph, &ConvOptions::norm_prologue), 1);
  EXPECT_EQ(count<Conv2d>(graph, &ConvOptions::statistics), 0);
  const test::Examples e = test::examples(kImages, 5);
  const Network network = network_of(net, kImages);
  const Tensor plain =
      make_native_engine(network, {.threads = 2, .fuse = false})->infer(e.images.view<float>());
  const Tensor fused = make_native_engine(network, {.threads = 2})->infer(e.images.view<float>());
  for (std::size_t i = 0; i < plain.values().size(); ++i)
    EXPECT_NEAR(fused.values()[i], plain.values()[i], 1e-5F * std::abs(plain.values()[i]) + 1e-5F);
}

}  // namespace
}  // namespace resnet

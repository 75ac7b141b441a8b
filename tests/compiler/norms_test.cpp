// Which parts of batch norms their neighbours do, and that a step computes the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "compiler/compile.h"
#include "compiler/training.h"
#include "resnet/engine.h"
#include "support/networks.h"

namespace resnet {
namespace {

using test::expect_same_gradients;
using test::initialised;

// Nodes called `op` of a merged graph that have the attribute.
int count(const graph::Graph& graph, const std::string& op, const std::string& attribute) {
  return static_cast<int>(std::count_if(graph.nodes().begin(), graph.nodes().end(), [&](const auto& node) {
    return node.op->name() == op && node.attributes.integer_or(attribute, 0) != 0;
  }));
}

graph::Graph carried(const graph::Graph& graph) {
  return compiler::carry_norms(compiler::fuse(graph), DType::f32);
}
graph::Graph carried_step(const nn::Module& net, const Shape& images) {
  return carried(compiler::training_step(nn::trace(net, images, Mode::train), compiler::StepKind::update));
}

// Maps and channels for which the cost rule takes Winograd.
const Shape kImages{4, 32, 13, 12};
nn::Conv2d conv3x3(bool bias = true) {
  return nn::Conv2d{32, 32, {.kernel = 3, .padding = 1, .bias = bias}};
}
nn::Linear head() {
  return nn::Linear{32 * 13 * 12, 5};
}

TEST(CarryNorms, ANormBetweenTwoConvolutionsLeavesOnlyTables) {
  const auto net = initialised(nn::Sequential(conv3x3(), nn::BatchNorm2d{32}, nn::ReLU{}, conv3x3(false),
                                              nn::BatchNorm2d{32}, nn::ReLU{}, nn::Flatten{}, head()));
  const graph::Graph step = carried_step(net, kImages);
  EXPECT_EQ(count(step, "conv2d", "moments"), 2);
  EXPECT_EQ(count(step, "conv2d", "norm"), 1);
  EXPECT_EQ(count(step, "batch_norm", "table_only"), 1);
  EXPECT_EQ(count(step, "conv2d_weight_gradient", "norm"), 1);
  EXPECT_EQ(count(step, "conv2d_input_gradient", "sums"), 1);
  EXPECT_EQ(count(step, "batch_norm_gradient", "table_only"), 1);
  EXPECT_EQ(count(step, "conv2d_weight_gradient", "norm_gradient"), 1);
  expect_same_gradients(net, kImages);
}

TEST(CarryNorms, ABlocksGradientIsGatedBySignsWhereItIsMade) {
  nn::ResidualOptions options;
  const auto net = initialised(
      nn::Sequential(nn::Residual{32, 32, options}, nn::Residual{32, 32, options}, nn::Flatten{}, head()));
  const graph::Graph step = carried_step(net, kImages);
  int by_signs = 0;
  for (const graph::Node& node : step.nodes()) by_signs += node.attributes.integer_or("sums", 0) == 2 ? 1 : 0;
  EXPECT_EQ(by_signs, 1);  // the first block's result
  EXPECT_EQ(count(step, "conv2d_input_gradient", "sums"), 3);
  EXPECT_EQ(count(step, "batch_norm_gradient", "add"),
            1);  // the last one's, whose gradient no convolution makes
  EXPECT_EQ(count(step, "batch_norm", "signs"), 2);
  expect_same_gradients(net, kImages);
}

TEST(CarryNorms, ANormWhoseResultOthersReadIsApplied) {
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
  const graph::Graph step = carried_step(net, kImages);
  EXPECT_EQ(count(step, "batch_norm", "table_only"), 0);
  EXPECT_EQ(count(step, "batch_norm", "given"), 1);
  expect_same_gradients(net, kImages);
}

// A stem, and behind it what reads its result twice.
nn::Sequential stem(nn::Conv2d conv, std::int64_t side) {
  return initialised(nn::Sequential(std::move(conv), nn::BatchNorm2d{32}, nn::ReLU{},
                                    nn::MaxPool2d{{.kernel = 3, .stride = 2, .padding = 1}},
                                    nn::Residual{32, 32, {}}, nn::Flatten{},
                                    nn::Linear{32 * side * side, 5}));
}

TEST(CarryNorms, AStemIsStoredAsWhatItsPoolChooses) {
  const auto net = stem(nn::Conv2d{1, 32, {.kernel = 7, .stride = 2, .padding = 3}}, 16);
  const Shape images{4, 1, 64, 64};
  const graph::Graph step = carried_step(net, images);
  int pooled = 0;
  for (const graph::Node& node : step.nodes()) {
    pooled += node.op->name().starts_with("conv2d_pooled") ? 1 : 0;
    for (const graph::ValueId id : node.outputs) {
      const Shape& shape = step.value(id).type.shape;
      if (shape.rank() == 4) EXPECT_LE(shape.elements(), 4 * 32 * 16 * 16) << node.op->name();
    }
  }
  EXPECT_EQ(pooled, 2);
  EXPECT_EQ(count(step, "batch_norm_gradient", "samples"), 1);
  EXPECT_EQ(count(step, "batch_norm_gradient", "table_only"), 2);  // all norms but the last
  expect_same_gradients(net, images);
}

TEST(CarryNorms, AStemWhoseInputNeedsAGradientKeepsItsMaps) {
  const auto net = initialised(nn::Sequential(
      conv3x3(false), nn::Conv2d{32, 8, {.kernel = 1}}, nn::BatchNorm2d{8}, nn::ReLU{},
      nn::MaxPool2d{{.kernel = 3, .stride = 2, .padding = 1}}, nn::Flatten{}, nn::Linear{8 * 7 * 6, 5}));
  const graph::Graph step = carried_step(net, kImages);
  for (const graph::Node& node : step.nodes())
    EXPECT_FALSE(node.op->name().starts_with("conv2d_pooled")) << node.name;
  expect_same_gradients(net, kImages);
}

TEST(CarryNorms, InEvaluationAStemIsStoredAsWhatItsPoolChoosesToo) {
  const auto net = stem(nn::Conv2d{3, 32, {.kernel = 3, .stride = 2, .padding = 1}}, 8);
  const Shape images{4, 3, 32, 32};
  const graph::Graph graph = carried(nn::trace(net, images, Mode::eval));
  EXPECT_EQ(graph.nodes()[0].op->name(), "conv2d_pooled");
  const test::Examples e = test::examples(images, 5);
  const Network network = network_of(net, images);
  const Tensor plain =
      make_native_engine(network, {.threads = 2, .fuse = false})->infer(e.images.view<float>());
  const Tensor fused = make_native_engine(network, {.threads = 2})->infer(e.images.view<float>());
  for (std::size_t i = 0; i < plain.values().size(); ++i)
    EXPECT_NEAR(fused.values()[i], plain.values()[i], 1e-5F * std::abs(plain.values()[i]) + 1e-5F);
}

TEST(CarryNorms, DirectConvolutionsGatherAndLeaveTheRest) {
  const auto net = initialised(nn::Sequential(
      nn::Conv2d{32, 16, {.kernel = 1}}, nn::BatchNorm2d{16}, nn::ReLU{}, nn::Conv2d{16, 16, {.kernel = 1}},
      nn::BatchNorm2d{16}, nn::ReLU{}, nn::Flatten{}, nn::Linear{16 * 13 * 12, 5}));
  const graph::Graph step = carried_step(net, kImages);
  EXPECT_EQ(count(step, "conv2d", "moments"), 2);
  EXPECT_EQ(count(step, "conv2d_input_gradient", "sums"), 1);
  for (const char* op : {"batch_norm", "batch_norm_gradient"})
    EXPECT_EQ(count(step, op, "table_only"), 0) << op;
  expect_same_gradients(net, kImages);
}

TEST(CarryNorms, InEvaluationAConvolutionReadsThroughItsNorm) {
  const auto net = initialised(nn::Sequential(conv3x3(), nn::BatchNorm2d{32}, nn::ReLU{}, conv3x3(),
                                              nn::BatchNorm2d{32}, nn::Flatten{}, head()));
  const graph::Graph graph = carried(nn::trace(net, kImages, Mode::eval));
  EXPECT_EQ(count(graph, "conv2d", "norm"), 1);
  EXPECT_EQ(count(graph, "conv2d", "moments"), 0);
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

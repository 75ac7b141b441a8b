// Planning takes time in proportion to the network: no pass looks for what it needs by going over all nodes.
#include <gtest/gtest.h>

#include <ctime>

#include "compiler/compile.h"
#include "compiler/passes.h"
#include "compiler/training.h"
#include "cpu/target.h"
#include "ops/add.h"
#include "ops/relu.h"
#include "resnet/models.h"

namespace resnet {
namespace {

// Bounds are several times what it takes, and a fraction of what going over all nodes takes.
#if defined(_GLIBCXX_ASSERTIONS) || defined(__SANITIZE_THREAD__)
constexpr double kSlower = 20;
#else
constexpr double kSlower = 1;
#endif
constexpr double kMostSeconds = 0.2 * kSlower;

// Processor seconds of everything from the traced network to its plan.
double planning_seconds(graph::Graph graph, bool train) {
  const std::clock_t begin = std::clock();
  if (train) graph = compiler::training_step(std::move(graph), compiler::StepKind::update);
  plan::StateLayout layout;
  for (const graph::ValueInfo& value : graph.values()) {
    const bool state = value.role == graph::Role::parameter || value.role == graph::Role::buffer;
    if (state) layout.add(value.name, value.type.shape);
  }
  const plan::Plan plan = compiler::compile(graph, cpu::Target(Isa::avx2), layout);
  EXPECT_GT(plan.calls.size(), graph.nodes().size() / 4);
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

// ResNet-1001 of He et al., Identity Mappings in Deep Residual Networks, for images of 32 x 32 (here with the
// norms behind the convolutions).
TEST(Planning, OfResNet1001TakesNoLongerThanItIsDeep) {
  const nn::Sequential net = models::make("resnet50", {.in_channels = 3,
                                                       .classes = 10,
                                                       .blocks = {111, 111, 111},
                                                       .channels = {16, 32, 64},
                                                       .stem = models::Stem::small});
  EXPECT_LT(planning_seconds(nn::trace(net, {128, 3, 32, 32}, Mode::eval), false), kMostSeconds);
  EXPECT_LT(planning_seconds(nn::trace(net, {128, 3, 32, 32}, Mode::train), true), 2.5 * kSlower);
}

TEST(Planning, OfALongChainTakesNoLongerThanItIsLong) {
  nn::Sequential net;
  for (int k = 0; k < 10'000; ++k) net.push_back(nn::ReLU{});
  EXPECT_LT(planning_seconds(nn::trace(net, {1, 1, 28, 28}, Mode::eval), false), kMostSeconds);
}

// One value that thousands of nodes read, and thousands that live at the same time.
TEST(Planning, OfAWideSumTakesNoLongerThanItIsWide) {
  graph::Graph graph;
  const graph::ValueId images = graph.add_input("images", {Shape{1, 1, 28, 28}});
  std::vector<graph::ValueId> values;
  for (int k = 0; k < 5'000; ++k)
    values.push_back(graph.add_node(ops::make<ops::Relu>(), "relu", {images})[0]);
  graph::ValueId sum = images;
  for (const graph::ValueId value : values)
    sum = graph.add_node(ops::make<ops::Add>(), "sum", {sum, value})[0];
  graph.add_output("output", sum);
  EXPECT_LT(planning_seconds(graph, false), kMostSeconds);
}

// What leaves a graph is f32, and so is all that leads there through nodes that take one type: against their
// order.
TEST(Planning, OfStorageTypesTakesNoLongerThanAChainIsLong) {
  nn::Sequential net(nn::Conv2d{1, 1, {.kernel = 1}});
  for (int k = 0; k < 10'000; ++k) net.push_back(nn::ReLU{});
  const graph::Graph graph = nn::trace(net, {1, 1, 28, 28}, Mode::eval);
  const std::clock_t begin = std::clock();
  for (const graph::ValueType& type :
       compiler::store(graph, cpu::Target(Isa::avx512_bf16), DType::bf16).types)
    EXPECT_EQ(type.dtype, DType::f32);
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, kMostSeconds);
}

}  // namespace
}  // namespace resnet

// What engines take for granted of a network, and the line that says what is missing.
#include "compiler/verify.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "graph/limits.h"
#include "graph/names.h"
#include "ops/add.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"
#include "ops/dropout.h"
#include "ops/max_pool.h"
#include "ops/relu.h"
#include "resnet/engine.h"
#include "resnet/models.h"
#include "support/message_of.h"

namespace resnet::compiler {
namespace {

using graph::Graph;
using graph::kNone;
using graph::Role;
using graph::ValueId;
using ::testing::ElementsAre;

// Of a convolution of the images, whose weight and bias are these values.
struct Case {
  Graph graph = {};
  ValueId images = graph.add_input("images", {Shape{2, 3, 5, 5}});

  ValueId state(const std::string& name, const Shape& shape, Role role = Role::parameter) {
    return graph.add_state(role, name, {shape});
  }
  ValueId conv(ValueId x, ValueId w, ValueId bias = kNone) {
    return graph.add_node(ops::make<ops::Conv2d>(), "conv", {x, w, bias})[0];
  }
  ValueId relu(ValueId x) { return graph.add_node(ops::make<ops::Relu>(), "relu", {x})[0]; }
  std::vector<ValueId> norm(ValueId x, bool training = true) {
    const Shape c{graph.value(x).type.shape[1]};
    return graph.add_node(ops::make<ops::BatchNorm>(ops::BatchNormOptions{.training = training}), "norm",
                          {x, state("gamma", c), state("beta", c), state("mean", c, Role::buffer),
                           state("variance", c, Role::buffer)});
  }
  std::string refusal(ValueId output) {
    graph.add_output("output", output);
    return refusal();
  }
  std::string refusal() const {
    return test::message_of<FormatError>([&] { verify(graph); });
  }
};

TEST(Verify, TakesEveryNetworkOfTheZooInBothModes) {
  for (const std::string& name : models::names()) {
    const nn::Sequential net = models::make(name, {.in_channels = 3, .classes = 10});
    for (const Mode mode : {Mode::train, Mode::eval}) verify(nn::trace(net, {2, 3, 64, 64}, mode));
  }
}

TEST(Verify, TakesABufferAsAWeightWhichThenLiesAsAWeight) {
  Case c;
  c.graph.add_output("output", c.conv(c.images, c.state("w", {4, 3, 1, 1}, Role::buffer)));
  verify(c.graph);
  EXPECT_THAT(weights_of(c.graph), ElementsAre("w"));
}

TEST(Verify, RefusesActivationsThatDoNotFollowFromTheImages) {
  Case c;
  const ValueId a = c.state("a", {2, 3, 5, 5});
  EXPECT_EQ(c.refusal(c.graph.add_node(ops::make<ops::Add>(), "sum", {c.images, a})[0]),
            "add 'sum': operand 'b' is the parameter 'a', an activation was expected");
  Case buffer;
  EXPECT_EQ(buffer.refusal(buffer.relu(buffer.state("a", {2, 3, 5, 5}, Role::buffer))),
            "relu 'relu': operand 'x' is the buffer 'a', an activation was expected");
  Case further;
  const auto results = further.norm(further.images);
  EXPECT_EQ(further.refusal(further.relu(results[ops::BatchNormOutput::mean])),
            "relu 'relu': operand 'x' is a further result of 'norm', an activation was expected");
}

TEST(Verify, RefusesWeightsAndStatisticsThatAreComputed) {
  Case weight;
  EXPECT_EQ(weight.refusal(weight.conv(weight.images, weight.images)),
            "conv2d 'conv': operand 'w' is the input 'images', a parameter or buffer was expected");
  Case activation;
  EXPECT_EQ(activation.refusal(activation.conv(activation.images, activation.relu(activation.images))),
            "conv2d 'conv': operand 'w' is an activation, a parameter or buffer was expected");
  Case bias;
  const ValueId mean = bias.norm(bias.images)[ops::BatchNormOutput::mean];
  EXPECT_EQ(bias.refusal(bias.conv(bias.images, bias.state("w", {3, 3, 1, 1}), mean)),
            "conv2d 'conv': operand 'b' is a further result of 'norm', a parameter or buffer was expected");
}

TEST(Verify, RefusesAnOutputWhoseBatchIsNotThatOfTheImages) {
  Case state;
  state.relu(state.images);
  EXPECT_EQ(state.refusal(state.state("w", {2, 3})),
            "the network's output is the parameter 'w', an activation was expected");
  Case index;
  const auto pool =
      index.graph.add_node(ops::make<ops::MaxPool>(ops::PoolWindow{{2, 2}, {2, 2}}), "pool", {index.images});
  EXPECT_EQ(index.refusal(pool[1]),
            "the network's output is a further result of 'pool', an activation was expected");
  EXPECT_EQ(Case().refusal(), "the graph has no output 'output'");
}

TEST(Verify, RefusesInputsAndStateThatEnginesDoNotKnow) {
  Case input;
  EXPECT_EQ(input.refusal(input.relu(input.graph.add_input("x", {Shape{2, 3}}))),
            "the network's input 'x', f32 [2,3], is none that an engine gives it");
  const std::pair<const char*, graph::ValueType> wrong[] = {{graph::kImages, {Shape{2, 3, 5, 5}, DType::i64}},
                                                            {graph::kImages, {Shape{}, DType::f32}},
                                                            {graph::kSeedStep, {Shape{2}, DType::f32}},
                                                            {graph::kSeedStep, {Shape{3}, DType::i64}}};
  for (const auto& [name, type] : wrong) {
    Graph graph;
    graph.add_output("output", graph.add_input(name, type));
    EXPECT_EQ(test::message_of<FormatError>([&] { verify(graph); }),
              fmt::format("the network's input '{}', {} {}, is none that an engine gives it", name,
                          name_of(type.dtype), to_string(type.shape)));
  }
  Case type;
  type.graph.add_state(Role::buffer, "count", {Shape{}, DType::i64});
  EXPECT_EQ(type.refusal(type.images), "the network keeps 'count' as i64, f32 was expected");
  Case reserved;
  reserved.state("optimizer/exp_avg/w", {3});
  EXPECT_EQ(reserved.refusal(reserved.images),
            "the network's state 'optimizer/exp_avg/w' has a name that engines keep for themselves");
}

TEST(Verify, RefusesUpdatesThatAreNoStatistics) {
  Case c;
  c.graph.add_update(c.state("a", {2, 3, 5, 5}, Role::buffer), c.images);
  EXPECT_EQ(c.refusal(c.images),
            "the update of 'a' is the input 'images', a norm's new statistics were expected");
  Case computed;
  computed.graph.add_update(computed.state("a", {2, 3, 5, 5}, Role::buffer), computed.relu(computed.images));
  EXPECT_EQ(computed.refusal(computed.images),
            "the update of 'a' is an activation, a norm's new statistics were expected");
  Case input;
  input.graph.add_update(input.images, input.state("b", {2, 3, 5, 5}, Role::buffer));
  EXPECT_EQ(input.refusal(input.images),
            "the update of 'images' is the buffer 'b', a norm's new statistics were expected");
}

TEST(Verify, RefusesOperationsThatAreNotForInference) {
  Case c;
  EXPECT_EQ(c.refusal(c.graph.add_node(ops::make<ops::ReluGradient>(), "gradient", {c.images, c.images})[0]),
            "relu_gradient 'gradient' is not for inference");
}

TEST(Verify, RefusesMoreNodesThanItsBound) {
  Case c;
  ValueId x = c.images;
  for (std::int64_t k = 0; k < graph::kMostNodes; ++k) x = c.relu(x);
  c.graph.add_output("output", x);
  verify(c.graph);
  c.relu(x);
  EXPECT_EQ(c.refusal(), "a network of 10001 nodes; at most 10000 are supported");
}

// The bounds are of one image: a batch of any size is as good.
TEST(Verify, RefusesAnImagesWorthOfMemoryAndWorkBeyondItsBounds) {
  for (const std::int64_t batch : {1, 100}) {
    const nn::Sequential wide(nn::Conv2d{1, 1 << 20, {.kernel = 1}});
    verify(nn::trace(wide, {batch, 1, 16, 16}, Mode::eval));
    EXPECT_EQ(test::message_of<FormatError>([&] {
                verify(nn::trace(wide, {batch, 1, 32, 32}, Mode::eval));
              }),
              "conv2d '0' takes 4096 MiB of activations an image; at most 2048 are supported");
    nn::Sequential deep(nn::Conv2d{3, 512, {.padding = 1}});
    for (int k = 0; k < 20; ++k) deep.push_back(nn::Conv2d{512, 512, {.padding = 1}});
    EXPECT_EQ(
        test::message_of<FormatError>([&] {
          verify(nn::trace(deep, {batch, 3, 512, 512}, Mode::eval));
        }),
        "conv2d '9' is where the network's work exceeds 10000 GFLOP an image, the most that is supported");
  }
}

}  // namespace
}  // namespace resnet::compiler

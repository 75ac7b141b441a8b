// Updates as operations: which parameters get which, and where what they remember lies.
#include "compiler/optimizer.h"

#include <gtest/gtest.h>

#include <map>

#include "compiler/training.h"
#include "ops/adamw.h"
#include "ops/average.h"
#include "ops/sgd.h"
#include "support/networks.h"

namespace resnet {
namespace {

using compiler::StepKind;
using graph::Graph;
using graph::Node;
using graph::Role;

Graph step_of(const OptimizerOptions& optimizer) {
  const nn::Sequential net(nn::Conv2d{1, 4}, nn::BatchNorm2d{4}, nn::ReLU{}, nn::GlobalAvgPool2d{},
                           nn::Flatten{}, nn::Linear{4, 3});
  return compiler::training_step(nn::trace(net, {2, 1, 6, 6}, Mode::train), StepKind::update, optimizer);
}

const Node* node_of(const Graph& graph, std::string_view op, const std::string& name) {
  for (const Node& node : graph.nodes()) {
    if (node.op->name() == op && node.name == name) return &node;
  }
  return nullptr;
}

std::size_t count(const Graph& graph, std::string_view op) {
  std::size_t result = 0;
  for (const Node& node : graph.nodes()) result += node.op->name() == op ? 1 : 0;
  return result;
}

TEST(OptimizerGraph, PlainSgdKeepsNothingAndLeavesZeroGradientsAlone) {
  const Graph graph = step_of({});
  EXPECT_EQ(count(graph, "sgd"), 5U);
  EXPECT_EQ(node_of(graph, "sgd", "0.bias"), nullptr) << "in front of a batch norm";
  for (const graph::ValueInfo& value : graph.values())
    EXPECT_FALSE(compiler::is_slot(value.name)) << value.name;
}

TEST(OptimizerGraph, SlotsAreBuffersThatTheUpdateTakesOver) {
  for (const auto& [optimizer, slots] : std::vector<std::pair<OptimizerOptions, std::vector<std::string>>>{
           {{.method = SgdOptions{.momentum = 0.9}}, {"momentum_buffer"}},
           {{.method = AdamWOptions{.weight_decay = 0}}, {"exp_avg", "exp_avg_sq"}}}) {
    const Graph graph = step_of(optimizer);
    std::size_t found = 0;
    for (const graph::Update& update : graph.updates()) {
      const graph::ValueInfo& state = graph.value(update.state);
      if (!compiler::is_slot(state.name)) continue;
      EXPECT_EQ(state.role, Role::buffer);
      ++found;
    }
    EXPECT_EQ(found, 5 * slots.size());
    for (const std::string& slot : slots) {
      const std::string name = "optimizer/" + slot + "/5.weight";
      EXPECT_TRUE(std::any_of(graph.values().begin(), graph.values().end(), [&](const auto& value) {
        return value.name == name && value.type.shape == Shape{3, 4};
      })) << name;
    }
  }
}

// Of every value that the network has, frozen or not, as the step leaves it.
TEST(OptimizerGraph, AveragesFollowTheUpdates) {
  const OptimizerOptions optimizer{.groups = {{.names = "0.*", .frozen = true}}, .average = true};
  const Graph graph = step_of(optimizer);
  EXPECT_EQ(count(graph, "average"), 8U);  // six parameters, two statistics
  std::map<graph::ValueId, graph::ValueId> updates;
  for (const graph::Update& update : graph.updates()) updates.emplace(update.state, update.value);
  for (const auto& [state, value] : updates) {
    const std::string name = graph.value(state).name;
    if (compiler::is_average(name)) continue;
    const Node* node = node_of(graph, "average", name);
    ASSERT_NE(node, nullptr) << name;
    EXPECT_EQ(node->inputs[ops::AverageInput::value], value) << name;
    EXPECT_EQ(graph.value(node->inputs[ops::AverageInput::average]).name, "optimizer/average/" + name);
  }
  const Node* frozen = node_of(graph, "average", "0.weight");
  ASSERT_NE(frozen, nullptr);
  EXPECT_EQ(graph.value(frozen->inputs[ops::AverageInput::value]).role, Role::parameter);
  EXPECT_EQ(count(step_of({}), "average"), 0U);
}

TEST(OptimizerGraph, DecayReachesParametersWhoseGradientIsZero) {
  const Graph graph = step_of({.method = SgdOptions{.weight_decay = 0.5}});
  const Node* bias = node_of(graph, "sgd", "0.bias");
  ASSERT_NE(bias, nullptr);
  EXPECT_EQ(bias->inputs[ops::SgdInput::gradient], graph::kNone);
}

TEST(OptimizerGraph, NormsAndBiasesNeedNotDecay) {
  const Graph graph = step_of({.method = AdamWOptions{.weight_decay = 0.5}, .decay_norms_and_biases = false});
  EXPECT_EQ(node_of(graph, "adamw", "0.bias"), nullptr) << "nothing would change";
  const auto decay = [&](const std::string& name) {
    return ops::as<ops::AdamW>(*node_of(graph, "adamw", name))->update().weight_decay;
  };
  EXPECT_EQ(decay("0.weight"), 0.5);
  EXPECT_EQ(decay("5.weight"), 0.5);
  for (const char* name : {"1.weight", "1.bias", "5.bias"}) EXPECT_EQ(decay(name), 0) << name;
}

TEST(OptimizerGraph, TheFirstGroupThatNamesAParameterCounts) {
  const Graph graph = step_of({.method = SgdOptions{.weight_decay = 0.5},
                               .groups = {{.names = "5.bias", .lr_factor = 3},
                                          {.names = "5.*", .lr_factor = 10, .decay_factor = 0.5}}});
  const auto update = [&](const std::string& name) {
    return ops::as<ops::Sgd>(*node_of(graph, "sgd", name))->update();
  };
  EXPECT_EQ(update("5.bias").lr_factor, 3);
  EXPECT_EQ(update("5.bias").weight_decay, 0.5);
  EXPECT_EQ(update("5.weight").lr_factor, 10);
  EXPECT_EQ(update("5.weight").weight_decay, 0.25);
  EXPECT_EQ(update("1.weight").lr_factor, 1);
}

TEST(OptimizerGraph, FrozenParametersHaveNoGradientNode) {
  const OptimizerOptions optimizer{
      .groups = {{.names = "0.*", .frozen = true}, {.names = "1.*", .frozen = true}}};
  const Graph graph = step_of(optimizer);
  EXPECT_EQ(count(graph, "sgd"), 2U);
  for (const char* op : {"conv2d_weight_gradient", "batch_norm_gradient", "global_avg_pool_gradient"})
    EXPECT_EQ(count(graph, op), 0U) << op;
  EXPECT_GT(count(step_of({}), "conv2d_weight_gradient"), 0U);
  // One below a parameter that learns is passed through.
  EXPECT_EQ(count(step_of({.groups = {{.names = "5.*", .frozen = true}}}), "linear_weight_gradient"), 0U);
  EXPECT_EQ(count(step_of({.groups = {{.names = "5.*", .frozen = true}}}), "conv2d_weight_gradient"), 1U);
}

TEST(OptimizerGraph, StepsTakeTheirMomentumFromTheOptimizerUnlessGiven) {
  using kernels::StepValue;
  const auto values = [](const OptimizerOptions& optimizer, const StepInputs& inputs) {
    return compiler::step_values(optimizer, inputs, 5);
  };
  const OptimizerOptions sgd{.method = SgdOptions{.momentum = 0.75}}, adamw{.method = AdamWOptions{}};
  EXPECT_EQ(values(sgd, {.lr = 0.5F})[StepValue::lr], 0.5);
  EXPECT_EQ(values(sgd, {.lr = 0.5F})[StepValue::update], 5);
  EXPECT_EQ(values(sgd, {.lr = 0.5F})[StepValue::momentum], 0.75);
  EXPECT_EQ(values(sgd, {.lr = 0.5F, .momentum = 0.5F})[StepValue::momentum], 0.5);
  EXPECT_EQ(values(adamw, {.lr = 0.5F})[StepValue::momentum], 0.9);
  EXPECT_THROW(values({}, {.lr = 0.5F, .momentum = 0.5F}), ConfigError);
}

TEST(OptimizerOptions, ThatCannotBeAreRefused) {
  EXPECT_NO_THROW(check(OptimizerOptions{}));
  for (const OptimizerOptions& wrong : std::vector<OptimizerOptions>{
           {.method = SgdOptions{.momentum = -0.1}},
           {.method = SgdOptions{.momentum = NAN}},
           {.method = SgdOptions{.nesterov = true}},
           {.method = SgdOptions{.momentum = 0.9, .dampening = 0.1, .nesterov = true}},
           {.method = SgdOptions{.weight_decay = -1}},
           {.method = AdamWOptions{.beta1 = 1}},
           {.method = AdamWOptions{.beta2 = -0.5}},
           {.method = AdamWOptions{.beta1 = 0.99999999}},
           {.method = AdamWOptions{.eps = 0}},
           {.method = AdamWOptions{.eps = 1e39}},
           {.method = AdamWOptions{.eps = 1e-46}},
           {.method = AdamWOptions{.weight_decay = INFINITY}},
           {.groups = {{.names = "*", .lr_factor = -1}}},
           {.groups = {{.names = "*", .decay_factor = NAN}}}}) {
    EXPECT_THROW(check(wrong), ConfigError);
  }
}

TEST(OptimizerOptions, OfGroupsMustNameParametersAndLeaveSome) {
  EXPECT_THROW(step_of({.groups = {{.names = "6.*"}}}), ConfigError);
  EXPECT_THROW(step_of({.groups = {{.names = "5.weigh"}}}), ConfigError);
  EXPECT_THROW(step_of({.groups = {{.names = "*", .frozen = true}}}), ConfigError);
  EXPECT_NO_THROW(step_of({.groups = {{.names = "*weight"}, {.names = "*.b*s"}, {.names = "5.bias"}}}));
}

}  // namespace
}  // namespace resnet

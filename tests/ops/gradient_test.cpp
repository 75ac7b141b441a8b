// The gradient rule of every operation against finite differences in double, at odd sizes, strides,
// paddings and rectangular kernels. The last test fails when an operation of the list has no case.
#include <set>

#include "ops/activation.h"
#include "ops/add.h"
#include "ops/avg_pool.h"
#include "ops/batch_norm.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/cross_entropy.h"
#include "ops/dropout.h"
#include "ops/flatten.h"
#include "ops/max_pool.h"
#include "ops/mul.h"
#include "ops/relu.h"
#include "support/gradient_check.h"

namespace resnet {
namespace {

using graph::Graph;
using graph::Role;
using graph::ValueId;
using test::expect_gradients_match;
using test::random_values;

// One operation on parameters of these shapes; the further inputs are constants.
struct Case {
  std::shared_ptr<const ops::Operation> op;
  std::vector<Shape> parameters;
  double center = 0;
};

void check(const Case& c) {
  Graph graph;
  engine::NamedValues state;
  engine::NamedValues inputs;
  std::vector<ValueId> operands;
  for (std::size_t i = 0; i < c.parameters.size(); ++i) {
    if (c.parameters[i].rank() == 0) {
      operands.push_back(graph::kNone);
      continue;
    }
    const std::string name = "p" + std::to_string(i);
    operands.push_back(graph.add_state(Role::parameter, name, {c.parameters[i], DType::f32}));
    state[name] = random_values(name, c.parameters[i].elements(), c.center);
  }
  if (dynamic_cast<const ops::Dropout*>(c.op.get()) != nullptr) {
    operands.push_back(graph.add_input("seed_step", {Shape{2}, DType::i64}));
    inputs["seed_step"] = ops::seed_step_operand(3, 5);
  }
  const ValueId y = graph.add_node(c.op, std::string(c.op->name()), operands)[0];
  const ValueId loss = test::weighted_sum(graph, y);
  inputs["r"] = random_values("r", graph.value(y).type.shape.elements());
  SCOPED_TRACE(std::string(c.op->name()));
  expect_gradients_match(graph, loss, inputs, state);
}

ops::PoolWindow window(ops::Pair kernel, ops::Pair stride, ops::Pair padding) {
  return {.kernel = kernel, .stride = stride, .padding = padding};
}

std::shared_ptr<const ops::Operation> conv(ops::Pair stride, ops::Pair padding, ops::Pair dilation = {1, 1},
                                           std::int64_t groups = 1) {
  return ops::make<ops::Conv2d>(ops::ConvOptions{
      .window = {.stride = stride, .padding = padding, .dilation = dilation, .groups = groups}});
}

std::vector<Case> cases() {
  using ops::make;
  ops::PoolWindow inside = window({3, 3}, {2, 2}, {1, 1});
  inside.count_padding = false;
  ops::PoolWindow rounded = window({2, 2}, {2, 2}, {0, 0}), rounded_inside = window({3, 2}, {2, 2}, {1, 0});
  rounded.ceil_mode = rounded_inside.ceil_mode = true;
  rounded_inside.count_padding = false;
  const auto dropout = make<ops::Dropout>(ops::DropoutOptions{.p = 0.4, .layer = 11});
  const auto drop_path = make<ops::Dropout>(ops::DropoutOptions{.p = 0.4, .layer = 11, .per_example = true});
  return {
      {conv({1, 1}, {1, 1}), {{2, 3, 5, 7}, {4, 3, 3, 3}, {4}}},
      {conv({2, 3}, {2, 0}), {{1, 2, 9, 11}, {3, 2, 5, 2}, {3}}},
      {conv({2, 2}, {3, 3}), {{2, 1, 13, 12}, {5, 1, 7, 7}, {}}},
      {conv({1, 2}, {2, 1}, {2, 1}, 2), {{2, 4, 7, 6}, {6, 2, 3, 2}, {6}}},
      {conv({2, 2}, {0, 0}), {{2, 3, 5, 5}, {2, 3, 1, 1}, {2}}},
      {make<ops::Linear>(), {{3, 7}, {5, 7}, {5}}},
      {make<ops::Relu>(), {{3, 2, 4, 5}}, 1.5},   // all positive
      {make<ops::Relu>(), {{3, 2, 4, 5}}, -1.5},  // all negative
      {make<ops::Relu>(), {{4, 7}}},              // none nearer to zero than the steps
      {make<ops::Add>(), {{2, 3, 2, 3}, {2, 3, 2, 3}}},
      {make<ops::Sigmoid>(), {{2, 3, 2, 3}}},
      {make<ops::Sigmoid>(), {{3, 5}}, -4},
      {make<ops::Silu>(), {{2, 3, 2, 3}}},
      {make<ops::Silu>(), {{3, 5}}, 3},
      {make<ops::Gelu>(), {{2, 3, 2, 3}}},
      {make<ops::Gelu>(), {{3, 5}}, -2},
      {make<ops::Mul>(), {{2, 3, 2, 3}, {2, 3, 2, 3}}},
      {make<ops::Mul>(), {{3, 5}, {3, 5}}},
      {make<ops::Mul>(), {{2, 3, 4, 5}, {2, 3, 1, 1}}},
      {make<ops::Mul>(), {{2, 3, 1, 1}, {2, 3, 1, 1}}},
      {make<ops::Concat>(), {{2, 3, 4, 5}, {2, 4, 4, 5}}},
      {make<ops::Concat>(), {{3, 5}, {3, 1}}},
      {make<ops::MaxPool>(window({3, 3}, {2, 2}, {1, 1})), {{1, 2, 7, 6}}},
      {make<ops::MaxPool>(window({2, 3}, {1, 2}, {1, 0})), {{1, 1, 5, 7}}},
      {make<ops::AvgPool>(window({3, 2}, {2, 1}, {1, 1})), {{2, 3, 7, 5}}},
      {make<ops::AvgPool>(inside), {{2, 2, 5, 6}}},
      {make<ops::GlobalAvgPool>(), {{2, 3, 4, 5}}},
      {make<ops::Flatten>(), {{2, 3, 2, 3}}},
      {dropout, {{4, 9}}},
      {dropout, {{2, 3, 3, 2}}},
      {drop_path, {{5, 2, 3, 2}}},
      {make<ops::AvgPool>(rounded), {{2, 2, 5, 7}}},
      {make<ops::AvgPool>(rounded_inside), {{2, 2, 6, 5}}},
      {make<ops::MaxPool>(rounded), {{1, 2, 5, 3}}},
  };
}

class OpGradient : public ::testing::TestWithParam<Case> {};

TEST_P(OpGradient, MatchesFiniteDifferences) {
  check(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Cases, OpGradient, ::testing::ValuesIn(cases()), [](const auto& tested) {
  return std::string(tested.param.op->name()) + "_" + std::to_string(tested.index);
});

TEST(OpGradientOf, BatchNormMatchesFiniteDifferences) {
  for (const Shape& x : {Shape{3, 2, 5, 3}, Shape{2, 5, 1, 1}, Shape{1, 1, 7, 1}}) {
    Graph graph;
    engine::NamedValues state;
    std::vector<ValueId> operands;
    const Shape channels{x[1]};
    const auto add = [&](Role role, const std::string& name, const Shape& shape, double center,
                         double scale) {
      operands.push_back(graph.add_state(role, name, {shape, DType::f32}));
      state[name] = random_values(name, shape.elements(), center, scale);
    };
    add(Role::parameter, "x", x, 0.3, 1);
    add(Role::parameter, "weight", channels, 1, 0.5);
    add(Role::parameter, "bias", channels, 0, 1);
    add(Role::buffer, "running_mean", channels, 0, 1);
    add(Role::buffer, "running_var", channels, 1, 0.5);
    const ops::BatchNormOptions options{.eps = 1e-5, .momentum = 0.1, .training = true};
    const ValueId y = graph.add_node(ops::make<ops::BatchNorm>(options), "bn", operands)[0];
    const ValueId loss = test::weighted_sum(graph, y);
    expect_gradients_match(graph, loss, {{"r", random_values("r", x.elements())}}, state);
  }
}

TEST(OpGradientOf, CrossEntropyIsTheGradientOfTheMean) {
  // Its own gradient rule is that of the mean; the value is the sum, so the numeric one is divided.
  Graph graph;
  const Shape shape{5, 7};
  const ValueId logits = graph.add_state(Role::parameter, "logits", {shape, DType::f32});
  const ValueId labels = graph.add_input("labels", {Shape{5}, DType::i32});
  const ValueId loss = graph.add_node(ops::make<ops::CrossEntropy>(), "loss", {logits, labels})[0];
  engine::NamedValues state = {{"logits", random_values("logits", shape.elements(), 0, 3)}};
  const engine::NamedValues inputs = {{"labels", {0, 6, 3, 3, 1}}};
  graph.add_output("loss", loss);
  Graph gradient_graph = graph;
  gradient_graph.add_output("d", compiler::differentiate(gradient_graph, loss, {logits})[0]);
  const engine::Values analytic = engine::interpret(gradient_graph, inputs, state).at("d");
  for (std::size_t i = 0; i < analytic.size(); ++i) {
    const double h = 1e-5;
    engine::NamedValues above = state;
    engine::NamedValues below = state;
    above["logits"][i] += h;
    below["logits"][i] -= h;
    const double numeric = (engine::interpret(graph, inputs, above).at("loss")[0] -
                            engine::interpret(graph, inputs, below).at("loss")[0]) /
                           (2 * h) / 5;
    EXPECT_NEAR(analytic[i], numeric, 1e-9) << "logit " << i;
  }
}

TEST(OpGradientOf, SecondUseOfAValueAddsItsGradient) {
  Graph graph;
  const Shape shape{2, 3};
  const ValueId x = graph.add_state(Role::parameter, "x", {shape, DType::f32});
  const ValueId doubled = graph.add_node(ops::make<ops::Add>(), "twice", {x, x})[0];
  const ValueId thrice = graph.add_node(ops::make<ops::Add>(), "thrice", {doubled, x})[0];
  const ValueId loss = test::weighted_sum(graph, thrice);
  expect_gradients_match(graph, loss, {{"r", random_values("r", 6)}}, {{"x", random_values("x", 6)}});
}

TEST(OpGradientOf, ASquareHasBothFactorsGradients) {
  Graph graph;
  const ValueId x = graph.add_state(Role::parameter, "x", {Shape{2, 3}, DType::f32});
  const ValueId loss = test::weighted_sum(graph, graph.add_node(ops::make<ops::Mul>(), "square", {x, x})[0]);
  expect_gradients_match(graph, loss, {{"r", random_values("r", 6)}}, {{"x", random_values("x", 6)}});
}

TEST(OpGradientOf, EveryDifferentiableOperationIsTested) {
  std::set<std::string> tested = {"batch_norm", "cross_entropy"};  // above, by themselves
  for (const Case& c : cases()) tested.insert(std::string(c.op->name()));
  const std::set<std::string> no_gradient = {
      "sgd",       "adamw", "average",      "channel_sum",
      "unflatten", "slice", "conv2d_pooled"};  // of gradient graphs or merged ones only
  for (const ops::Kind& kind : ops::all()) {
    const std::string name(kind.name);
    if (name.ends_with("_gradient") || no_gradient.contains(name)) continue;
    EXPECT_TRUE(tested.contains(name)) << "no gradient case for operation '" << name << "'";
  }
}

}  // namespace
}  // namespace resnet

// Shape rules that keep kernels within their operands.
#include <gtest/gtest.h>

#include "ops/batch_norm.h"
#include "ops/conv2d.h"
#include "resnet/graph.h"

namespace resnet {
namespace {

using graph::Graph;
using graph::Role;

TEST(OpRules, AConvolutionHasAPlaceForItsBias) {
  Graph graph;
  const auto x = graph.add_input("x", {Shape{1, 2, 5, 5}, DType::f32});
  const auto w = graph.add_state(Role::parameter, "w", {Shape{3, 2, 3, 3}, DType::f32});
  EXPECT_NO_THROW(graph.add_node(ops::make<ops::Conv2d>(), "conv", {x, w, graph::kNone}));
  EXPECT_THROW(graph.add_node(ops::make<ops::Conv2d>(), "conv", {x, w}), ShapeError);
  const auto rows = graph.add_input("rows", {Shape{4, 7}, DType::f32});
  const auto matrix = graph.add_state(Role::parameter, "matrix", {Shape{3, 7}, DType::f32});
  EXPECT_THROW(graph.add_node(ops::make<ops::Linear>(), "linear", {rows, matrix}), ShapeError);
}

TEST(OpRules, CoefficientsOfANormNeedTheShapeOfX) {
  Graph graph;
  const auto x = graph.add_input("x", {Shape{2, 3, 4, 4}, DType::f32});
  std::vector<graph::ValueId> inputs = {x};
  for (const char* name : {"gamma", "beta", "mean", "var"})
    inputs.push_back(graph.add_state(Role::buffer, name, {Shape{3}, DType::f32}));
  ops::BatchNormOptions options{.coefficients_only = true};
  EXPECT_THROW(graph.add_node(ops::make<ops::BatchNorm>(options), "bn", inputs), Error);
  options.x = {2, 5, 4, 4};
  EXPECT_THROW(graph.add_node(ops::make<ops::BatchNorm>(options), "bn", inputs), ShapeError);
  options.x = {2, 3, 4, 4};
  const auto table = graph.add_node(ops::make<ops::BatchNorm>(options), "bn", inputs)[0];
  EXPECT_EQ(graph.value(table).type.shape, (Shape{3, 3}));
  inputs[0] = graph::kNone;  // only where statistics are known: the running ones, or moments that are given
  EXPECT_NO_THROW(graph.add_node(ops::make<ops::BatchNorm>(options), "bn", inputs));
  options.training = true;
  EXPECT_THROW(graph.add_node(ops::make<ops::BatchNorm>(options), "bn", inputs), ShapeError);
}

}  // namespace
}  // namespace resnet

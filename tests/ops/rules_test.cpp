// Shape rules that keep kernels within their operands.
#include <gtest/gtest.h>

#include "ops/operation.h"
#include "resnet/graph.h"

namespace resnet {
namespace {

using graph::Graph;
using graph::Role;

TEST(OpRules, AConvolutionHasAPlaceForItsBias) {
  Graph graph;
  const auto x = graph.add_input("x", {Shape{1, 2, 5, 5}, DType::f32});
  const auto w = graph.add_state(Role::parameter, "w", {Shape{3, 2, 3, 3}, DType::f32});
  const graph::Attributes attributes = {{"stride", std::vector<std::int64_t>{1, 1}},
                                        {"padding", std::vector<std::int64_t>{0, 0}},
                                        {"dilation", std::vector<std::int64_t>{1, 1}},
                                        {"groups", std::int64_t{1}}};
  EXPECT_NO_THROW(graph.add_node(ops::get("conv2d"), "conv", attributes, {x, w, graph::kNone}));
  EXPECT_THROW(graph.add_node(ops::get("conv2d"), "conv", attributes, {x, w}), ShapeError);
  const auto rows = graph.add_input("rows", {Shape{4, 7}, DType::f32});
  const auto matrix = graph.add_state(Role::parameter, "matrix", {Shape{3, 7}, DType::f32});
  EXPECT_THROW(graph.add_node(ops::get("linear"), "linear", {}, {rows, matrix}), ShapeError);
}

TEST(OpRules, ATableOfANormNeedsItsExtents) {
  Graph graph;
  const auto x = graph.add_input("x", {Shape{2, 3, 4, 4}, DType::f32});
  std::vector<graph::ValueId> inputs = {x};
  for (const char* name : {"gamma", "beta", "mean", "var"})
    inputs.push_back(graph.add_state(Role::buffer, name, {Shape{3}, DType::f32}));
  graph::Attributes attributes = {
      {"eps", 1e-5}, {"momentum", 0.1}, {"training", std::int64_t{0}}, {"table_only", std::int64_t{1}}};
  EXPECT_THROW(graph.add_node(ops::get("batch_norm"), "bn", attributes, inputs), Error);
  attributes.set("extents", std::vector<std::int64_t>{2, 5, 4, 4});
  EXPECT_THROW(graph.add_node(ops::get("batch_norm"), "bn", attributes, inputs), ShapeError);
  attributes.set("extents", std::vector<std::int64_t>{2, 3, 4, 4});
  const auto table = graph.add_node(ops::get("batch_norm"), "bn", attributes, inputs)[0];
  EXPECT_EQ(graph.value(table).type.shape, (Shape{3, 3}));
  inputs[0] = graph::kNone;  // only where moments are given
  EXPECT_THROW(graph.add_node(ops::get("batch_norm"), "bn", attributes, inputs), ShapeError);
}

}  // namespace
}  // namespace resnet

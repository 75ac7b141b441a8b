// Shape rules that keep kernels within their operands.
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "ops/avg_pool.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"
#include "ops/max_pool.h"
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

/// Adds an operation to images of shape `x`, with weights of shape `w` unless that is empty.
void add(ops::Op op, const Shape& x, const Shape& w = {}) {
  Graph graph;
  std::vector<graph::ValueId> inputs = {graph.add_input("x", {x, DType::f32})};
  if (w.rank() > 0) {
    inputs.push_back(graph.add_state(Role::parameter, "w", {w, DType::f32}));
    inputs.push_back(graph::kNone);
  }
  graph.add_node(std::move(op), "node", inputs);
}

ops::Op conv(std::int64_t padding, std::int64_t dilation = 1, std::int64_t groups = 1) {
  return ops::make<ops::Conv2d>(ops::ConvOptions{
      .window = {.padding = {padding, padding}, .dilation = {dilation, dilation}, .groups = groups}});
}

TEST(OpRules, PaddingReachesNoFurtherThanTheInputOrTheKernel) {
  const Shape x{1, 1, 28, 28}, one{1, 1, 1, 1}, three{1, 1, 3, 3};
  EXPECT_NO_THROW(add(conv(1), x, one)) << "SqueezeNet's last";
  EXPECT_NO_THROW(add(conv(28), x, one));
  EXPECT_NO_THROW(add(conv(8, 4), {1, 1, 2, 2}, three)) << "a dilated kernel of 9 pixels";
  EXPECT_NO_THROW(add(conv(36, 18), x, three));
  for (const std::int64_t padding : {29, 3000, 30000, 32768, 1 << 20}) {
    EXPECT_THROW(add(conv(padding), x, one), ShapeError) << padding;
    EXPECT_THROW(add(conv(padding), x, three), ShapeError) << padding;
  }
  EXPECT_THROW(add(conv(9, 4), {1, 1, 2, 2}, three), ShapeError);
}

TEST(OpRules, ExtentsOfNothingAndOfTooMuchAreRefused) {
  constexpr std::int64_t kFar = std::int64_t{1} << 62, kMany = std::int64_t{1} << 39;
  EXPECT_THROW((Shape{0, kFar, 1, 1}), ShapeError);
  EXPECT_THROW((Shape{kFar, 0}), ShapeError);
  EXPECT_THROW((Shape{0, kMany, kMany}), ShapeError);
  EXPECT_THROW(add(conv(0, 1, 3), {1, 3, 4, 4}, {0, kMany, 1, 1}), ShapeError);
  for (const std::int64_t groups : {std::int64_t{0}, kFar, -kFar, kMany})
    EXPECT_THROW(add(conv(0, 1, groups), {1, 3, 4, 4}, {6, 1, 1, 1}), ShapeError) << groups;
  EXPECT_THROW(add(conv(0, kFar), {1, 1, 4, 4}, {1, 1, 2, 2}), ShapeError);
  EXPECT_THROW(add(conv(0), {1, 1, 4, 4}, {1, 1, kMany, 1}), ShapeError);
  EXPECT_THROW(add(conv(0), {1, 1, kMany, 1}, {1, 1, 1, 1}), ShapeError) << "an extent above 2^30";
  for (const Shape& x : {Shape{0, 3, 4, 4}, Shape{1, 3, 0, 4}, Shape{1, 0, 4, 4}}) {
    EXPECT_THROW(add(conv(0), x, {1, x[1], 1, 1}), ShapeError) << x;
    EXPECT_THROW(add(ops::make<ops::MaxPool>(ops::PoolWindow{}), x), ShapeError) << x;
    EXPECT_THROW(add(ops::make<ops::AvgPool>(ops::PoolWindow{}), x), ShapeError) << x;
    EXPECT_THROW(add(ops::make<ops::GlobalAvgPool>(), x), ShapeError) << x;
  }
  EXPECT_THROW(add(ops::make<ops::Linear>(), {0, 3}, {1, 3}), ShapeError);
}

TEST(OpRules, WindowsOfPoolsCountWithin64Bits) {
  constexpr std::int64_t kLarge = 1 << 20, kHalf = kLarge / 2;
  const ops::PoolWindow padded{.kernel = {kLarge, kLarge}, .padding = {kHalf, kHalf}};
  EXPECT_THROW(add(ops::make<ops::MaxPool>(padded), {1, 1, 1, 1}), ShapeError)
      << "no index has a place for it";
  const graph::ValueType x{Shape{16, 1, 1 << 18, 1 << 18}, DType::f32};
  const ops::PoolWindow wide{.kernel = {1 << 15, 1 << 15}};
  const graph::ValueType* const inputs[] = {&x};
  const ops::Signature signature{inputs, {}};
  EXPECT_GT(ops::MaxPool(wide).cost(signature).flops, 0x1p69);
  EXPECT_GT(ops::AvgPool(wide).cost(signature).flops, 0x1p69);
}

}  // namespace
}  // namespace resnet

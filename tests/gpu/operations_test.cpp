// Every operation on the GPU's target, in the emulator, against its readable reference: ragged sizes, both
// storage types, and for products tf32. The last test fails when an operation of the list has no case.
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "gpu/map_values.h"
#include "gpu/operation_case.h"
#include "ops/activation.h"
#include "ops/adamw.h"
#include "ops/add.h"
#include "ops/average.h"
#include "ops/avg_pool.h"
#include "ops/batch_norm.h"
#include "ops/channel_sum.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/cross_entropy.h"
#include "ops/dropout.h"
#include "ops/flatten.h"
#include "ops/max_pool.h"
#include "ops/mul.h"
#include "ops/relu.h"
#include "ops/sgd.h"
#include "resnet/device.h"

namespace resnet {
namespace {

using ops::make;
using ops::ValueType;
using test::ConvCase;
using test::f32;
using test::OperationCase;
using Inputs = std::vector<std::optional<ValueType>>;

ValueType i32(const Shape& shape) {
  return {shape, DType::i32};
}

std::vector<OperationCase> sweeps() {
  const ValueType map = f32({2, 5, 3, 7}), vector = f32({3, 11});
  const auto both = [](auto op, const ValueType& type) { return OperationCase{op, {type, type}}; };
  const ops::DropoutOptions dropout{.p = 0.4, .layer = 11}, path{.p = 0.4, .layer = 11, .per_example = true};
  const ValueType seed_step{Shape{2}, DType::i64};
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinite = std::numeric_limits<double>::infinity();
  return {
      {make<ops::Relu>(), {map}},
      {make<ops::Relu>(), {f32({1, 5})}, {{-1, nan, infinite, -infinite, 0}}},
      {make<ops::Relu>(), {f32({64, 8, 24, 30})}},  // every thread takes several turns
      both(make<ops::ReluGradient>(), map),
      {make<ops::ReluGradient>(), {f32({1, 4}), f32({1, 4})}, {{1, 2, 3, 4}, {nan, 0, -1, 2}}},
      both(make<ops::Add>(), map),
      both(make<ops::Add>(), vector),
      {make<ops::Sigmoid>(), {map}},
      {make<ops::Silu>(), {map}},
      {make<ops::Gelu>(), {map}},
      both(make<ops::SigmoidGradient>(), map),
      both(make<ops::SiluGradient>(), map),
      both(make<ops::GeluGradient>(), map),
      both(make<ops::Mul>(), map),
      {make<ops::Mul>(), {map, f32({2, 5, 1, 1})}},
      {make<ops::MulGateGradient>(), {map, map}},
      {make<ops::Concat>(), {map, f32({2, 4, 3, 7})}},
      {make<ops::Concat>(), {vector, f32({3, 1})}},
      {make<ops::Slice>(ops::SliceOptions{2, 3}), {map}},
      {make<ops::Dropout>(dropout), {map, seed_step}, {{}, ops::seed_step_operand(3, 5)}},
      {make<ops::Dropout>(dropout), {vector, seed_step}, {{}, ops::seed_step_operand(7, 123456)}},
      {make<ops::Dropout>(path), {map, seed_step}, {{}, ops::seed_step_operand(3, 5)}},
      {make<ops::Flatten>(), {map}},
      {make<ops::Unflatten>(ops::UnflattenOptions{Shape{5, 3, 7}}), {f32({2, 105})}},
      {make<ops::ChannelSum>(), {map}},
      {make<ops::ChannelSum>(), {f32({3, 70})}},
      {make<ops::ChannelSum>(), {f32({2, 33, 9, 11})}},
      {make<ops::ChannelSum>(), {f32({2, 72, 9, 11})}},
  };
}

ops::PoolWindow window(ops::Pair kernel, ops::Pair stride, ops::Pair padding, bool count_padding = true,
                       bool ceil_mode = false) {
  return {kernel, stride, padding, count_padding, ceil_mode};
}

std::vector<OperationCase> pools() {
  std::vector<OperationCase> cases;
  const Shape x{2, 5, 7, 9}, whole{1, 16, 7, 5};  // by single channels, by 16 bytes
  for (const Shape& map : {x, whole}) {
    for (const ops::PoolWindow& w :
         {window({3, 3}, {2, 2}, {1, 1}), window({2, 3}, {1, 2}, {1, 0}),
          window({3, 2}, {2, 2}, {1, 0}, false, true), window({2, 2}, {2, 2}, {0, 0}, true, true)}) {
      const Shape y = ops::pooled_shape(ops::pool_geometry(w, map));
      cases.push_back({make<ops::MaxPool>(w), {f32(map)}});
      cases.push_back({make<ops::AvgPool>(w), {f32(map)}});
      cases.push_back({make<ops::AvgPoolGradient>(ops::AveragePoolGradientOptions{w, map}), {f32(y)}});
      std::vector<double> index(static_cast<std::size_t>(y.elements()));
      for (std::size_t i = 0; i < index.size(); ++i)
        index[i] = static_cast<double>(i * 7 % static_cast<std::size_t>(w.kernel.h * w.kernel.w));
      cases.push_back({make<ops::MaxPoolGradient>(ops::MaxPoolGradientOptions{w, map}),
                       {f32(y), ValueType{y, DType::u8}},
                       {{}, index}});
    }
  }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  cases.push_back({make<ops::MaxPool>(window({2, 2}, {2, 2}, {0, 0})),
                   {f32({1, 1, 4, 4})},
                   {{1, nan, 3, 3, 2, 0, 3, 3, nan, 5, -1, -2, nan, 4, -3, -1}}});
  const ops::PoolWindow wide = window({17, 17}, {17, 17}, {0, 0});
  cases.push_back({make<ops::MaxPool>(wide), {f32({1, 2, 17, 34})}});  // its index needs i32
  cases.push_back({make<ops::GlobalAvgPool>(), {f32(x)}});
  cases.push_back(
      {make<ops::GlobalAvgPoolGradient>(ops::AveragePoolGradientOptions{{}, x}), {f32({2, 5, 1, 1})}});
  return cases;
}

std::vector<OperationCase> norms() {
  std::vector<OperationCase> cases;
  for (const Shape& x : {Shape{2, 5, 7, 9}, Shape{3, 33, 1, 1}, Shape{8, 3, 12, 11}, Shape{2, 24, 5, 7}}) {
    const ValueType c = f32({x[1]});
    std::vector<double> positive(static_cast<std::size_t>(x[1]));
    for (std::size_t i = 0; i < positive.size(); ++i) positive[i] = 0.5 + static_cast<double>(i % 3);
    for (const bool training : {true, false})
      cases.push_back({make<ops::BatchNorm>(ops::BatchNormOptions{.training = training}),
                       {f32(x), c, c, c, c},
                       {{}, {}, {}, {}, positive}});
    cases.push_back({make<ops::BatchNormGradient>(ops::BatchNormGradientOptions{}),
                     {f32(x), f32(x), c, c, c},
                     {{}, {}, {}, {}, positive}});
  }
  // A mean of 1000 deviations.
  const Shape x{4, 2, 8, 8};
  std::vector<double> far(static_cast<std::size_t>(x.elements()));
  for (std::size_t i = 0; i < far.size(); ++i) far[i] = 1000 + static_cast<double>(i * 31 % 64) / 32 - 1;
  cases.push_back({make<ops::BatchNorm>(ops::BatchNormOptions{.training = true}),
                   {f32(x), f32({2}), f32({2}), f32({2}), f32({2})},
                   {far, {1, 2}, {0, 1}, {0, 0}, {1, 1}}});
  return cases;
}

std::vector<OperationCase> convolutions() {
  const std::vector<ConvCase> shapes = {
      {{2, 3, 9, 7}, 5, {3, 3}, {.padding = {1, 1}}},
      {{1, 4, 11, 9}, 8, {3, 3}, {.stride = {2, 2}, .padding = {1, 1}}},  // chunks of channels
      {{2, 8, 9, 11}, 68, {1, 1}, {}},                                    // two column tiles
      {{2, 20, 8, 6}, 24, {3, 2}, {.stride = {1, 2}, .padding = {2, 1}, .dilation = {2, 1}}},
      {{1, 1, 13, 12}, 6, {7, 7}, {.stride = {2, 2}, .padding = {3, 3}}},
      {{2, 6, 7, 6}, 9, {3, 3}, {.padding = {1, 1}, .groups = 3}},
      {{2, 8, 7, 6}, 8, {3, 3}, {.padding = {1, 1}, .groups = 2}},
      {{3, 6, 5, 5}, 6, {3, 3}, {.stride = {2, 1}, .padding = {1, 1}, .groups = 6}},
      {{2, 4, 20, 20}, 4, {3, 3}, {.padding = {1, 1}}},  // shares of pixels
  };
  std::vector<OperationCase> cases;
  for (const ConvCase& c : shapes) {
    const Shape w = c.w();
    const kernels::ConvGeometry g = c.geometry();
    const ValueType x = f32(c.x), weights = f32(w), y = f32({g.n, g.co, g.ho(), g.wo()});
    cases.push_back({make<ops::Conv2d>(ops::ConvOptions{.window = c.window}), {x, weights, f32({c.co})}});
    cases.push_back({make<ops::Conv2d>(ops::ConvOptions{.window = c.window}), {x, weights, std::nullopt}});
    const auto apart =
        make<ops::Conv2dInputGradient>(ops::ConvInputGradientOptions{.window = c.window, .x = c.x});
    cases.push_back({apart, {y, weights}});
    cases.push_back({.op = make<ops::Conv2dInputGradient>(
                         ops::ConvInputGradientOptions{.window = c.window, .x = c.x, .add = true}),
                     .inputs = {y, weights, x},
                     .unfused = apart,
                     .addend = ops::ConvInputGradientInput::addend});
    cases.push_back(
        {make<ops::Conv2dWeightGradient>(ops::ConvWeightGradientOptions{.window = c.window, .w = w}),
         {x, y}});
  }
  for (const std::int64_t classes : {10, 70}) {  // by warps, and by tiles
    const Shape x{70, 45}, w{classes, 45}, y{70, classes};
    cases.push_back({make<ops::Linear>(), {f32(x), f32(w), f32({classes})}});
    cases.push_back({make<ops::Linear>(), {f32(x), f32(w), std::nullopt}});
    cases.push_back(
        {make<ops::LinearInputGradient>(ops::ConvInputGradientOptions{.x = x}), {f32(y), f32(w)}});
    cases.push_back(
        {make<ops::LinearWeightGradient>(ops::ConvWeightGradientOptions{.w = w}), {f32(x), f32(y)}});
  }
  return cases;
}

std::vector<OperationCase> losses() {
  std::vector<OperationCase> cases;
  const Shape logits{11, 37};
  std::vector<double> labels, mixed, mix, weights;
  for (int i = 0; i < 11; ++i) {
    labels.push_back(i * 5 % 37);
    mixed.push_back(i * 3 % 37);
    mix.push_back(i % 4 / 4.0);
  }
  for (int k = 0; k < 37; ++k) weights.push_back(0.5 + k % 3);
  for (const kernels::CrossEntropyOptions& options : {kernels::CrossEntropyOptions{},
                                                      {.label_smoothing = 0.1},
                                                      {.label_smoothing = 0.2, .class_weights = weights}}) {
    const Inputs plain = {f32(logits), i32({11}), std::nullopt, std::nullopt};
    const Inputs both = {f32(logits), i32({11}), i32({11}), f32({11})};
    cases.push_back({make<ops::CrossEntropy>(options), plain, {{}, labels}});
    cases.push_back({make<ops::CrossEntropy>(options), both, {{}, labels, mixed, mix}});
    cases.push_back({make<ops::CrossEntropyGradient>(options), plain, {{}, labels}});
    cases.push_back({make<ops::CrossEntropyGradient>(options), both, {{}, labels, mixed, mix}});
  }
  // The first of equal ones is the answer, and NaN is the largest.
  const double nan = std::numeric_limits<double>::quiet_NaN();
  cases.push_back({make<ops::CrossEntropy>(),
                   {f32({4, 5}), i32({4}), std::nullopt, std::nullopt},
                   {{3, 1, 3, 0, 0, 1, 2, 2, 2, 0, 0, 0, 0, 0, 4, 9, 1, nan, nan, 0}, {0, 1, 4, 2}}});
  return cases;
}

std::vector<OperationCase> updates() {
  std::vector<OperationCase> cases;
  const ValueType p = f32({5, 61}), step = f32({3});
  for (const double number : {1.0, 4.0}) {
    const std::vector<double> values = {0.125, 0.875, number};
    for (const bool nesterov : {false, true}) {
      cases.push_back({make<ops::Sgd>(kernels::SgdUpdate{.momentum = true,
                                                         .nesterov = nesterov,
                                                         .dampening = nesterov ? 0.0 : 0.25,
                                                         .weight_decay = 0.0625,
                                                         .lr_factor = 0.5}),
                       {p, p, step, p},
                       {{}, {}, values}});
    }
    std::vector<double> squares(305, 0.25);
    cases.push_back({make<ops::AdamW>(kernels::AdamWUpdate{.weight_decay = 0.1}),
                     {p, p, step, p, p},
                     {{}, {}, values, {}, squares}});
  }
  cases.push_back(
      {make<ops::Sgd>(kernels::SgdUpdate{.weight_decay = 0.5}), {p, p, f32({1})}, {{}, {}, {0.125}}});
  cases.push_back({make<ops::Sgd>(kernels::SgdUpdate{.weight_decay = 0.5}),
                   {p, std::nullopt, f32({1})},
                   {{}, {}, {0.125}}});
  for (const double share : {0.0, 0.125, 1.0})
    cases.push_back({make<ops::Average>(), {p, p, f32({1})}, {{}, {}, {share}}});
  return cases;
}

// Where one fails the others are tested all the same, but not on a device that fails: it does nothing more in
// this process. False then.
bool goes_on(const OperationCase& c) {
  try {
    test::expect_matches_reference(c);
    return true;
  } catch (const DeviceError& error) {
    ADD_FAILURE() << ::testing::PrintToString(c) << ": " << error.what();
    return false;
  } catch (const std::exception& error) {
    ADD_FAILURE() << ::testing::PrintToString(c) << ": " << error.what();
    return true;
  }
}

void check(std::vector<OperationCase> cases, bool bf16) {
  for (OperationCase& c : cases) {
    for (const DType storage : {DType::f32, DType::bf16}) {
      if (storage == DType::bf16 && !bf16) continue;
      c.storage = storage;
      if (!goes_on(c)) return;
    }
  }
}

TEST(GpuOperations, SweepsMatchTheirReference) {
  check(sweeps(), true);
}
TEST(GpuOperations, PoolsMatchTheirReference) {
  check(pools(), true);
}
TEST(GpuOperations, NormsMatchTheirReference) {
  check(norms(), true);
}
// Those of a pass, by the end of their operations' names.
std::vector<OperationCase> convolutions_of(std::string_view pass) {
  std::vector<OperationCase> cases = convolutions();
  std::erase_if(cases, [&](const OperationCase& c) {
    const std::string_view name = c.op->name();
    return pass.empty() ? name.ends_with("gradient") : !name.ends_with(pass);
  });
  return cases;
}

TEST(GpuOperations, ConvolutionsMatchTheirReference) {
  check(convolutions_of(""), true);
}
TEST(GpuOperations, InputGradientsMatchTheirReference) {
  check(convolutions_of("input_gradient"), true);
}
TEST(GpuOperations, WeightGradientsMatchTheirReference) {
  check(convolutions_of("weight_gradient"), true);
}
TEST(GpuOperations, ConvolutionsInTf32MatchTheirReferenceOfRoundedOperands) {
  for (OperationCase& c : convolutions()) {
    c.products = gpu::Products::tf32;
    if (!goes_on(c)) return;
  }
}
TEST(GpuOperations, LossesMatchTheirReference) {
  check(losses(), false);
}
TEST(GpuOperations, UpdatesMatchTheirReference) {
  check(updates(), false);
}

TEST(GpuOperations, AreAllKnownToTheTargetAndTested) {
  std::set<std::string_view> cases = {"conv2d_pooled", "conv2d_pooled_weight_gradient"};  // stem_test.cpp
  for (const auto& list : {sweeps(), pools(), norms(), convolutions(), losses(), updates()})
    for (const OperationCase& c : list) cases.insert(c.op->name());
  for (const ops::Kind& kind : ops::all()) {
    EXPECT_TRUE(gpu::Target::knows(kind.name)) << kind.name;
    EXPECT_TRUE(cases.contains(kind.name)) << kind.name << " has no case";
  }
}

}  // namespace
}  // namespace resnet

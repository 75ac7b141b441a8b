// Networks as a file may hold them: public operations on operands that fit by shape, most of them as a module
// would choose them, some not.
#pragma once

#include <array>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ops/activation.h"
#include "ops/add.h"
#include "ops/avg_pool.h"
#include "ops/batch_norm.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/flatten.h"
#include "ops/max_pool.h"
#include "ops/mul.h"
#include "ops/relu.h"
#include "resnet/engine.h"

namespace resnet::test {

/// A graph from a seed, grown node by node.
class RandomGraph {
 public:
  /// Of every hundred choices of an operand, `odd` do not ask where a value comes from; batch norms are of
  /// the batch where `training`.
  RandomGraph(std::uint64_t seed, int odd, bool training) : random_(seed), odd_(odd), training_(training) {
    images_ = {2, between(1, 9), between(4, 11), between(4, 11)};
    activations_ = {graph_.add_input("images", {images_, DType::f32})};
    const int nodes = static_cast<int>(between(3, 12));
    for (int k = 0; k < nodes; ++k) {
      try {
        add_node();
      } catch (const ShapeError&) {  // a choice that does not fit
      }
    }
    finish();
  }

  const graph::Graph& graph() const noexcept { return graph_; }
  const Shape& images() const noexcept { return images_; }
  /// Numbers for its state, all positive where they may be variances.
  State state() const {
    State result;
    for (const graph::ValueInfo& value : graph_.values()) {
      if (value.role != graph::Role::parameter && value.role != graph::Role::buffer) continue;
      Tensor tensor = random_uniform(value.type.shape, result.size() + 1);
      const float shift = value.type.shape.rank() == 1 ? 0.5F : -0.5F;
      for (float& x : tensor.values()) x += shift;
      result.emplace_back(value.name, std::move(tensor));
    }
    return result;
  }

 private:
  using Id = graph::ValueId;

  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(most - least + 1));
  }
  bool chance(int percent) { return between(0, 99) < percent; }
  const Shape& shape(Id id) const { return graph_.value(id).type.shape; }

  Id new_state(const Shape& shape) {
    const auto role = chance(odd_) ? graph::Role::buffer : graph::Role::parameter;
    return graph_.add_state(role, "s" + std::to_string(graph_.values().size()), {shape, DType::f32});
  }
  // Any value of that shape, or kNone.
  Id any(const Shape& wanted) {
    std::vector<Id> fitting;
    for (std::size_t i = 0; i < graph_.values().size(); ++i) {
      if (graph_.values()[i].type == graph::ValueType{wanted, DType::f32})
        fitting.push_back(static_cast<Id>(i));
    }
    return fitting.empty() ? graph::kNone : fitting[random_() % fitting.size()];
  }
  // A weight or statistic of that shape.
  Id state(const Shape& wanted) {
    if (chance(odd_)) {
      if (const Id id = any(wanted); id != graph::kNone) return id;
    }
    const Id id = new_state(wanted);
    return chance(odd_ / 2) ? graph_.add_node(ops::make<ops::Relu>(), "relu of a state", {id})[0] : id;
  }
  Id activation() {
    if (chance(odd_))
      return static_cast<Id>(between(0, static_cast<std::int64_t>(graph_.values().size()) - 1));
    // Mostly the newest, so that the network is deep.
    return chance(70) ? activations_.back() : activations_[random_() % activations_.size()];
  }
  ops::PoolWindow window(const Shape& x) {
    const std::int64_t kernel = between(1, std::min<std::int64_t>(3, std::min(x[2], x[3])));
    return {.kernel = {kernel, kernel}, .stride = {between(1, 2), between(1, 2)}, .padding = {kernel / 2, 0}};
  }
  Id norm(Id x) {
    const std::int64_t c = shape(x)[1];
    const ops::BatchNormOptions options{.training = training_};
    const auto y = graph_.add_node(ops::make<ops::BatchNorm>(options), "norm",
                                   {x, state({c}), state({c}), state({c}), state({c})});
    return y[ops::BatchNormOutput::y];
  }
  Id conv(Id x) {
    const std::int64_t groups = chance(20) ? shape(x)[1] : 1, ci = shape(x)[1] / groups;
    const std::int64_t co = groups * between(1, chance(30) ? 20 : 4), kernel = chance(60) ? 3 : between(1, 2);
    const ops::ConvOptions options{
        .window = {.stride = {between(1, 2), between(1, 2)}, .padding = {1, 1}, .groups = groups}};
    const Id bias = chance(30) ? state({co}) : graph::kNone;
    return graph_.add_node(ops::make<ops::Conv2d>(options), "conv",
                           {x, state({co, ci, kernel, kernel}), bias})[0];
  }
  Id sum(Id x) {
    Id other = chance(odd_) ? any(shape(x)) : x;
    for (const Id id : activations_) {
      if (shape(id) == shape(x) && chance(60)) other = id;
    }
    return graph_.add_node(ops::make<ops::Add>(), "sum", {x, other})[0];
  }
  Id linear(Id x) {
    const std::int64_t out = between(2, 9);
    return graph_.add_node(ops::make<ops::Linear>(), "linear",
                           {x, state({out, shape(x)[1]}), chance(50) ? state({out}) : graph::kNone})[0];
  }
  // Smooth activations, products, and channels side by side.
  Id without_state(Id x, std::int64_t kind) {
    if (kind < 105) return graph_.add_node(ops::make<ops::Silu>(), "silu", {x})[0];
    if (kind < 108) return graph_.add_node(ops::make<ops::Sigmoid>(), "sigmoid", {x})[0];
    if (kind < 111) return graph_.add_node(ops::make<ops::Gelu>(), "gelu", {x})[0];
    const Id other = activation();
    if (kind < 116) return graph_.add_node(ops::make<ops::Mul>(), "mul", {x, other})[0];
    return graph_.add_node(ops::make<ops::Concat>(), "concat", {x, other})[0];
  }
  void add_node() {
    const Id x = activation();
    const std::int64_t kind = between(0, 119);
    Id y = graph::kNone;
    if (kind >= 100)
      y = without_state(x, kind);
    else if (kind < 15)
      y = graph_.add_node(ops::make<ops::Relu>(), "relu", {x})[0];
    else if (kind < 35)
      y = sum(x);
    else if (shape(x).rank() == 2)
      y = linear(x);
    else if (shape(x).rank() != 4)
      return;
    else if (kind < 65)
      y = conv(x);
    else if (kind < 88)
      y = norm(x);
    else if (kind < 92)
      y = graph_.add_node(ops::make<ops::MaxPool>(window(shape(x))), "max", {x})[0];
    else if (kind < 95)
      y = graph_.add_node(ops::make<ops::AvgPool>(window(shape(x))), "avg", {x})[0];
    else if (kind < 97)
      y = graph_.add_node(ops::make<ops::GlobalAvgPool>(), "mean", {x})[0];
    else
      y = graph_.add_node(ops::make<ops::Flatten>(), "flatten", {x})[0];
    activations_.push_back(y);
  }
  // Logits of what came last.
  void finish() {
    Id x = activations_.back();
    if (shape(x).rank() == 4) {
      if (chance(50)) x = graph_.add_node(ops::make<ops::GlobalAvgPool>(), "mean", {x})[0];
      x = graph_.add_node(ops::make<ops::Flatten>(), "flatten", {x})[0];
    }
    if (shape(x).rank() == 2) x = linear(x);
    graph_.add_output("output", chance(odd_ / 4) ? activation() : x);
  }

  std::mt19937_64 random_;
  int odd_;
  bool training_;
  Shape images_;
  graph::Graph graph_;
  std::vector<Id> activations_;
};

}  // namespace resnet::test

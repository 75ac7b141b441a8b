// Compares the gradients of a graph with finite differences, all in double.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "compiler/training.h"
#include "engine/interpreter.h"
#include "ops/operation.h"

namespace resnet::test {

/// loss = sum of y * r: turns any value into a scalar whose gradient by y is r.
class WeightedSum final : public ops::Operation {
 public:
  std::string_view name() const noexcept override { return "test_weighted_sum"; }
  std::span<const std::string_view> input_names() const noexcept override {
    static constexpr std::array<std::string_view, 2> kNames = {"y", "r"};
    return kNames;
  }
  std::vector<std::optional<graph::ValueType>> infer(
      std::span<const graph::ValueType* const>) const override {
    return {graph::ValueType{Shape{1}, DType::f64}};
  }
  void gradient(ops::GradientScope& scope) const override { scope.set(0, scope.input(1)); }
  void evaluate(const ops::Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    out[0][0] = 0;
    for (std::int64_t i = 0; i < s.inputs[0]->shape.elements(); ++i) out[0][0] += in[0][i] * in[1][i];
  }
};

/// Appends the scalar and gives it.
inline graph::ValueId weighted_sum(graph::Graph& graph, graph::ValueId y) {
  const graph::ValueId r = graph.add_input("r", {graph.value(y).type.shape, DType::f32});
  return graph.add_node(ops::make<WeightedSum>(), "loss", {y, r})[0];
}

/// Numbers of `count` elements in [center - scale, center + scale), a function of (name, index).
inline engine::Values random_values(const std::string& name, std::int64_t count, double center = 0,
                                    double scale = 1) {
  const RandomStream stream(7, "test/" + name);
  engine::Values values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = center + scale * (2.0 * static_cast<double>(stream.word(i)) * 0x1p-32 - 1.0);
  }
  return values;
}

/// What finite differences compare: the gradients by every parameter of the graph, and the loss as a
/// function of the state.
struct GradientCheck {
  graph::Graph value_graph;
  engine::NamedValues analytic;  // "d <parameter>"; absent: zero by algebra
  std::vector<std::string> parameters;
  double largest = 0;  // of all gradients

  GradientCheck(graph::Graph graph, graph::ValueId loss, const engine::NamedValues& inputs,
                const engine::NamedValues& state)
      : value_graph(graph) {
    value_graph.add_output("loss", loss);
    const std::vector<graph::ValueId> wanted = graph.with_role(graph::Role::parameter);
    const std::vector<graph::ValueId> gradients = compiler::differentiate(graph, loss, wanted);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      parameters.push_back(graph.value(wanted[i]).name);
      if (gradients[i] != graph::kNone) graph.add_output("d " + parameters.back(), gradients[i]);
    }
    engine::NamedValues scratch = state;
    analytic = engine::interpret(graph, inputs, scratch);
    for (const std::string& name : parameters) {
      const auto found = analytic.find("d " + name);
      if (found == analytic.end()) continue;
      for (const double v : found->second) largest = std::max(largest, std::abs(v));
    }
  }

  engine::Values gradient(const std::string& name, std::size_t count) const {
    const auto found = analytic.find("d " + name);
    return found == analytic.end() ? engine::Values(count, 0.0) : found->second;
  }

  /// d loss / d name[i] from five points: the error is of fourth order, so that the step can be large
  /// enough for the rounding.
  double numeric(const std::string& name, std::size_t i, double h, const engine::NamedValues& inputs,
                 const engine::NamedValues& state) const {
    std::array<double, 4> at{};
    const std::array<double, 4> places = {-2, -1, 1, 2};
    for (std::size_t p = 0; p < places.size(); ++p) {
      engine::NamedValues moved = state;
      moved.at(name)[i] += places.at(p) * h;
      at.at(p) = engine::interpret(value_graph, inputs, moved).at("loss")[0];
    }
    return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h);
  }

  /// The bound: 1e-6 * max(largest gradient of that tensor, 1e-3 * largest of the graph).
  double bound(const engine::Values& gradient) const {
    double here = 1e-3 * largest;
    for (const double v : gradient) here = std::max(here, std::abs(v));
    return 1e-6 * here;
  }
};

/// Checks d loss / d (every parameter of the graph). At most `most` elements of each tensor are tried,
/// spread evenly.
inline void expect_gradients_match(const graph::Graph& graph, graph::ValueId loss,
                                   const engine::NamedValues& inputs, const engine::NamedValues& state,
                                   std::int64_t most = 64) {
  const GradientCheck check(graph, loss, inputs, state);
  for (const std::string& name : check.parameters) {
    const std::size_t count = state.at(name).size();
    const engine::Values gradient = check.gradient(name, count);
    const std::size_t step = std::max<std::size_t>(1, count / static_cast<std::size_t>(most));
    for (std::size_t i = 0; i < count; i += step) {
      ASSERT_NEAR(gradient[i], check.numeric(name, i, 2e-4, inputs, state), check.bound(gradient))
          << "d loss / d " << name << "[" << i << "] of " << count;
    }
  }
}

/// The same for a graph with ReLUs and max-pools inside, whose kinks nobody can keep away from every
/// step: the steps get smaller until two in a row agree; where none do a kink lies beside the element,
/// and it is left out. Three of four must remain, and one of every tensor. `scale`: what the loss is
/// divided by (its gradient rule is that of the mean over the batch, its value the sum).
inline void expect_gradients_match_away_from_kinks(const graph::Graph& graph, graph::ValueId loss,
                                                   const engine::NamedValues& inputs,
                                                   const engine::NamedValues& state, double scale,
                                                   std::size_t most = 9) {
  const GradientCheck check(graph, loss, inputs, state);
  std::size_t tried = 0, compared = 0;
  for (const std::string& name : check.parameters) {
    const std::size_t count = state.at(name).size();
    const engine::Values gradient = check.gradient(name, count);
    const double bound = check.bound(gradient);
    std::size_t here = 0;
    for (std::size_t k = 0; k < std::min(count, most); ++k) {
      const std::size_t i = k * count / std::min(count, most);
      ++tried;
      double coarse = check.numeric(name, i, 4e-5, inputs, state) / scale;
      for (const double h : {1e-5, 2.5e-6, 6e-7}) {
        const double fine = check.numeric(name, i, h, inputs, state) / scale;
        const bool smooth = std::abs(coarse - fine) <= 0.25 * bound;
        coarse = fine;
        if (!smooth) continue;
        ++here;
        EXPECT_NEAR(gradient[i], fine, bound) << "d loss / d " << name << "[" << i << "] of " << count;
        break;
      }
    }
    EXPECT_GT(here, 0U) << name << ": a kink beside every element";
    compared += here;
  }
  EXPECT_GE(4 * compared, 3 * tried);
}

}  // namespace resnet::test

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
  std::vector<graph::ValueType> infer(const graph::Attributes&,
                                      std::span<const graph::ValueType* const>) const override {
    return {{Shape{1}, DType::f64}};
  }
  void gradient(ops::GradientScope& scope) const override { scope.set(0, scope.input(1)); }
  void evaluate(const ops::Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override {
    out[0][0] = 0;
    for (std::int64_t i = 0; i < s.inputs[0]->shape.elements(); ++i) out[0][0] += in[0][i] * in[1][i];
  }
  ops::Lowering lower(const ops::Signature&, Isa) const override { return {}; }
};

/// Appends the scalar and gives it.
inline graph::ValueId weighted_sum(graph::Graph& graph, graph::ValueId y) {
  static const WeightedSum operation;
  const graph::ValueId r = graph.add_input("r", {graph.value(y).type.shape, DType::f32});
  return graph.add_node(operation, "loss", {}, {y, r})[0];
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

/// Checks d loss / d (every parameter of the graph): |analytic - numeric| <= 1e-6 * max(largest
/// gradient of that tensor, 1e-3 * largest of the graph), the bound. At most `most` elements of each
/// tensor are tried, spread evenly.
inline void expect_gradients_match(graph::Graph graph, graph::ValueId loss, const engine::NamedValues& inputs,
                                   const engine::NamedValues& state, std::int64_t most = 64) {
  const std::vector<graph::ValueId> wanted = graph.with_role(graph::Role::parameter);
  graph::Graph value_graph = graph;
  value_graph.add_output("loss", loss);
  const std::vector<graph::ValueId> gradients = compiler::differentiate(graph, loss, wanted);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (gradients[i] != graph::kNone) graph.add_output("d " + graph.value(wanted[i]).name, gradients[i]);
  }
  engine::NamedValues scratch = state;
  const engine::NamedValues analytic = engine::interpret(graph, inputs, scratch);

  double largest = 0;
  for (const auto& [name, values] : analytic) {
    for (const double v : values) largest = std::max(largest, std::abs(v));
  }
  for (std::size_t t = 0; t < wanted.size(); ++t) {
    const std::string name = graph.value(wanted[t]).name;
    const auto found = analytic.find("d " + name);
    const std::size_t count = state.at(name).size();
    const engine::Values zero(count, 0.0);
    const engine::Values& gradient = found == analytic.end() ? zero : found->second;
    double largest_here = 1e-3 * largest;
    for (const double v : gradient) largest_here = std::max(largest_here, std::abs(v));
    const std::size_t step = std::max<std::size_t>(1, count / static_cast<std::size_t>(most));
    for (std::size_t i = 0; i < count; i += step) {
      // Five points: the error is of fourth order, so the step can be large enough for the rounding.
      const double h = 2e-4;
      std::array<double, 4> at{};
      const std::array<double, 4> places = {-2, -1, 1, 2};
      for (std::size_t p = 0; p < places.size(); ++p) {
        engine::NamedValues moved = state;
        moved[name][i] += places.at(p) * h;
        at.at(p) = engine::interpret(value_graph, inputs, moved).at("loss")[0];
      }
      const double numeric = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h);
      ASSERT_NEAR(gradient[i], numeric, 1e-6 * largest_here)
          << "d loss / d " << name << "[" << i << "] of " << to_string(graph.value(wanted[t]).type.shape);
    }
  }
}

}  // namespace resnet::test

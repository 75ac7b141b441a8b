// What a step of gradients should give, and how far rounding may take an engine from it: the reference in
// double, without noise and twice with noise of the size of the engine's rounding.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "compiler/training.h"
#include "engine/interpreter.h"
#include "graph/names.h"
#include "ops/dropout.h"
#include "support/networks.h"

namespace resnet::test {

inline engine::Values values_of(const Tensor& tensor) {
  return {tensor.values().begin(), tensor.values().end()};
}

inline double distance(const engine::Values& a, const engine::Values& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(squares);
}

/// Everything that a step of gradients computes, by name: "logits" of evaluation, "loss_sum", gradients
/// ("gradient/...") and the running statistics after it.
inline engine::NamedValues computed_by(Engine& engine, const Examples& e) {
  engine::NamedValues result;
  result["logits"] = values_of(engine.infer(e.images.view<float>()));
  result["loss_sum"] = {engine.gradients(e.images.view<float>(), e.labels.view<std::int32_t>()).loss_sum};
  for (const auto& [name, tensor] : engine.gradient_values()) result["gradient/" + name] = values_of(tensor);
  for (const auto& [name, tensor] : engine.state()) {
    if (name.find("running_") != std::string::npos) result[name] = values_of(tensor);
  }
  return result;
}

class Oracle {
 public:
  /// `rounding`: relative size of the noise.
  Oracle(const Network& network, const Examples& e, double rounding, std::uint64_t seed = 0)
      : exact_(interpreted(network, e, {}, seed)),
        noisy_{interpreted(network, e, {rounding, 1}, seed), interpreted(network, e, {rounding, 2}, seed)} {
    for (const auto& [name, values] : exact_)
      largest_ = std::max(largest_, distance(engine::Values(values.size()), values));
  }

  /// `capped`: where the network amplifies the noise to the size of its gradients, a quarter of that size is
  /// the bound: nothing that is missing or of the wrong sign passes.
  void expect_near(const engine::NamedValues& ours, bool capped) const {
    for (const auto& [name, expected] : exact_) {
      ASSERT_TRUE(ours.contains(name)) << name;
      // 4 is the factor between the larger of two runs and what is still accepted.
      const double tolerance =
          4 * std::max(distance(noisy_[0].at(name), expected), distance(noisy_[1].at(name), expected));
      const double size = distance(engine::Values(expected.size()), expected);
      const double bound = size > 1e-3 * largest_ && capped ? std::min(tolerance, 0.25 * size) : tolerance;
      EXPECT_LE(distance(ours.at(name), expected), bound) << name << " of " << expected.size() << " numbers";
    }
  }

 private:
  static engine::NamedValues interpreted(const Network& network, const Examples& e, engine::Noise noise,
                                         std::uint64_t seed) {
    engine::NamedValues initial;
    for (const auto& [name, tensor] : network.state) {
      if (tensor.dtype() == DType::f32) initial[name] = values_of(tensor);
    }
    const auto labels = e.labels.view<std::int32_t>().span();
    const engine::NamedValues inputs = {{graph::kImages, values_of(e.images)},
                                        {graph::kSeedStep, ops::seed_step_operand(seed, 0)},
                                        {compiler::kLabels, engine::Values(labels.begin(), labels.end())}};
    engine::NamedValues state = initial;
    const graph::Graph step = compiler::training_step(*network.train, compiler::StepKind::gradients);
    const engine::NamedValues outputs = engine::interpret(step, inputs, state, noise);
    engine::NamedValues untouched = initial;
    engine::NamedValues result;
    for (auto& [name, values] : state) {
      if (name.starts_with("gradient/") || name.find("running_") != std::string::npos)
        result[name] = std::move(values);
    }
    result["loss_sum"] = outputs.at(compiler::kLossSum);
    result["logits"] = engine::interpret(network.eval, inputs, untouched, noise).at(graph::kOutput);
    return result;
  }

  engine::NamedValues exact_, noisy_[2];
  double largest_ = 0;
};

}  // namespace resnet::test

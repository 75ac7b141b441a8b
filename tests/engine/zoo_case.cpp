#include "engine/zoo_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "base/machine.h"
#include "compiler/training.h"
#include "engine/interpreter.h"
#include "graph/names.h"
#include "support/networks.h"

namespace resnet::test {
namespace {

using engine::NamedValues;
using engine::Values;

Values values_of(const Tensor& tensor) {
  return {tensor.values().begin(), tensor.values().end()};
}

// Everything that a step of gradients computes, by name: "logits" of evaluation, "loss_sum", gradients
// ("gradient/...") and the running statistics after it.
NamedValues oracle(const Network& network, const Examples& e, engine::Noise noise) {
  NamedValues initial;
  for (const auto& [name, tensor] : network.state) {
    if (tensor.dtype() == DType::f32) initial[name] = values_of(tensor);
  }
  const auto labels = e.labels.view<std::int32_t>().span();
  const NamedValues inputs = {{graph::kImages, values_of(e.images)},
                              {compiler::kLabels, Values(labels.begin(), labels.end())}};
  NamedValues state = initial;
  const graph::Graph step = compiler::training_step(*network.train, compiler::StepKind::gradients);
  const NamedValues outputs = engine::interpret(step, inputs, state, noise);
  NamedValues untouched = initial;
  NamedValues result;
  for (auto& [name, values] : state) {
    if (name.starts_with("gradient/") || name.find("running_") != std::string::npos)
      result[name] = std::move(values);
  }
  result["loss_sum"] = outputs.at(compiler::kLossSum);
  result["logits"] = engine::interpret(network.eval, inputs, untouched, noise).at(graph::kOutput);
  return result;
}

NamedValues native(const Network& network, const Examples& e, const std::string& isa, Precision precision) {
  const auto engine = make_native_engine(network, {.threads = 2, .isa = isa, .precision = precision});
  NamedValues result;
  result["logits"] = values_of(engine->infer(e.images.view<float>()));
  result["loss_sum"] = {engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>()).loss_sum};
  for (const auto& [name, tensor] : engine->gradient_values()) result["gradient/" + name] = values_of(tensor);
  for (const auto& [name, tensor] : engine->state()) {
    if (name.find("running_") != std::string::npos) result[name] = values_of(tensor);
  }
  return result;
}

double distance(const Values& a, const Values& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(squares);
}

}  // namespace

void PrintTo(const ZooCase& c, std::ostream* out) {
  *out << c.model << ' ' << c.images;
}

void expect_native_matches_reference(const ZooCase& c) {
  const nn::Sequential net = random_network(c.model, {.in_channels = c.images[1], .classes = 10});
  expect_native_matches_reference(net, c.images);
}

void expect_native_matches_reference(const nn::Module& net, const Shape& images, Precision precision) {
  const bool half = precision == Precision::bf16;
  const Network network = network_of(net, images);
  const Examples e = examples(images, 10);
  const NamedValues exact = oracle(network, e, {});
  // A sum of K products in f32 is off by a few 2^-24 of its size, Winograd's by up to 2^-20
  // (docs/decisions/0002-winograd.md); 4 is the factor between the larger of two runs and what is still
  // accepted.
  // bf16 has 8 bits: operands and stored activations are off by 2^-9 each.
  const double rounding = half ? 0x1p-8 : 0x1p-20;
  constexpr double kFactor = 4;
  NamedValues noisy[2] = {oracle(network, e, {rounding, 1}), oracle(network, e, {rounding, 2})};
  double largest = 0;
  for (const auto& [name, values] : exact)
    largest = std::max(largest, distance(Values(values.size()), values));
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    if (half && isa != Isa::avx512_bf16) continue;
    if (isa > best_isa()) {
      std::cout << "not run: this processor has no " << name_of(isa) << '\n';
      continue;
    }
    SCOPED_TRACE(std::string(name_of(isa)));
    const NamedValues ours = native(network, e, std::string(name_of(isa)), precision);
    for (const auto& [name, expected] : exact) {
      ASSERT_TRUE(ours.contains(name)) << name;
      const double tolerance =
          kFactor * std::max(distance(noisy[0].at(name), expected), distance(noisy[1].at(name), expected));
      // Where the network amplifies the noise to the size of its gradients, a quarter of that size is
      // the bound: nothing that is missing or of the wrong sign passes.
      const double size = distance(Values(expected.size()), expected);
      const double bound = size > 1e-3 * largest && !half ? std::min(tolerance, 0.25 * size) : tolerance;
      EXPECT_LE(distance(ours.at(name), expected), bound) << name << " of " << expected.size() << " numbers";
    }
  }
}

}  // namespace resnet::test

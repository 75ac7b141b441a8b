// Batches and comparisons that several tests of whole networks share.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/random.h"
#include "resnet/engine.h"
#include "resnet/models.h"

namespace resnet::test {

struct Examples {
  Tensor images;
  Tensor labels;
};

inline Examples examples(const Shape& images, std::int64_t classes, std::uint64_t seed = 1) {
  Examples result{random_uniform(images, seed), Tensor(Shape{images[0]}, DType::i32)};
  const RandomStream stream(seed, "test/labels");
  for (std::int64_t i = 0; i < images[0]; ++i) {
    result.labels.view<std::int32_t>()[i] = static_cast<std::int32_t>(
        stream.word(static_cast<std::uint64_t>(i)) % static_cast<std::uint32_t>(classes));
  }
  return result;
}

/// A network with its parameters set, norms and biases included, to numbers that are not trivial.
inline nn::Sequential random_network(const std::string& model, const models::ResNetOptions& options) {
  nn::Sequential net = models::make(model, options);
  nn::init(net, net.scheme(), 3);
  nn::for_each_parameter(net, [](const std::string& name, nn::Parameter& parameter) {
    if (parameter.kind == nn::ParameterKind::weight || parameter.kind == nn::ParameterKind::batches_tracked)
      return;
    const RandomStream stream(5, "test/" + name);
    const auto values = parameter.value.values();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.2F * (stream.uniform(i) - 0.5F);
  });
  return net;
}

/// l2 of a - b, of f32.
inline double distance(const Tensor& a, const Tensor& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.values().size(); ++i) {
    const double d = static_cast<double>(a.values()[i]) - static_cast<double>(b.values()[i]);
    squares += d * d;
  }
  return std::sqrt(squares);
}

inline double norm(const Tensor& t) {
  return distance(t, Tensor(t.shape()));
}

/// The engines' values by name, each within `tolerance` (relative l2, but at least `floor` of the
/// largest norm of all tensors).
inline void expect_states_near(const State& ours, const State& reference, double tolerance) {
  ASSERT_EQ(ours.size(), reference.size());
  double largest = 0;
  for (const auto& [name, tensor] : reference) {
    if (tensor.dtype() == DType::f32) largest = std::max(largest, norm(tensor));
  }
  for (std::size_t i = 0; i < ours.size(); ++i) {
    ASSERT_EQ(ours[i].first, reference[i].first);
    if (ours[i].second.dtype() != DType::f32) continue;
    const double bound = tolerance * std::max(norm(reference[i].second), 1e-3 * largest);
    EXPECT_LE(distance(ours[i].second, reference[i].second), bound) << ours[i].first;
  }
}

inline nn::Sequential initialised(nn::Sequential net) {
  nn::init(net, nn::Scheme::chapter, 3);
  return net;
}

/// Of a network with five classes: with fusion and without the same gradients and running statistics.
inline void expect_same_gradients(const nn::Module& net, const Shape& images) {
  const Network network = network_of(net, images);
  const Examples e = examples(images, 5);
  State values[2], states[2];
  for (const bool fuse : {false, true}) {
    const auto engine = make_native_engine(network, {.threads = 2, .fuse = fuse});
    engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
    values[fuse ? 1 : 0] = engine->gradient_values();
    states[fuse ? 1 : 0] = engine->state();
  }
  expect_states_near(values[1], values[0], 1e-5);
  expect_states_near(states[1], states[0], 1e-6);
}

}  // namespace resnet::test

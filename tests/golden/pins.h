// Reads what reference/make_goldens.py writes: tensors pinned by norms and samples, each with a
// tolerance that PyTorch's own float32 runs gave.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/random.h"
#include "resnet/engine.h"
#include "resnet/models.h"
#include "support/paths.h"

namespace resnet::test {

using nlohmann::json;

inline json read_golden(const std::string& name) {
  std::ifstream in(golden_folder() / (name + ".json"));
  if (!in) throw IoError("golden file '" + name + "' is missing", "reference/make_goldens.py makes it");
  return json::parse(in);
}

inline std::uint64_t seed_of(const json& golden) {
  return golden.at("seed").get<std::uint64_t>();
}

inline Shape shape_of(const json& extents) {
  const auto list = extents.get<std::vector<std::int64_t>>();
  return Shape(list);
}

/// Element i = float(center + scale * (2 * uniform(seed, name, i) - 1)), computed in double.
inline Tensor filled(std::uint64_t seed, const std::string& name, const Shape& shape, double center,
                     double scale) {
  Tensor tensor(shape);
  const RandomStream stream(seed, name);
  for (std::size_t i = 0; i < tensor.values().size(); ++i) {
    const double uniform = static_cast<double>(stream.word(i) >> 8U) * 0x1p-24;
    tensor.values()[i] = static_cast<float>(center + scale * (2.0 * uniform - 1.0));
  }
  return tensor;
}

struct Batch {
  Tensor images, labels;
};

inline Batch batch_of(const json& golden, const std::string& suffix = "") {
  const std::uint64_t seed = seed_of(golden);
  Batch batch{filled(seed, "input" + suffix, shape_of(golden.at("input")), 0.5, 0.5), {}};
  batch.labels = Tensor(Shape{batch.images.shape()[0]}, DType::i32);
  const RandomStream stream(seed, "labels" + suffix);
  const auto classes = golden.at("classes").get<std::uint32_t>();
  for (std::int64_t i = 0; i < batch.images.shape()[0]; ++i) {
    batch.labels.view<std::int32_t>()[i] =
        static_cast<std::int32_t>(stream.word(static_cast<std::uint64_t>(i)) % classes);
  }
  return batch;
}

/// Gives a network the golden's weights; every tensor of the state is set.
inline nn::Sequential with_weights_of(const json& golden, nn::Sequential net) {
  State state;
  for (const auto& [name, pin] : golden.at("tensors").items()) {
    state.emplace_back(name, filled(seed_of(golden), name, shape_of(pin.at("shape")),
                                    pin.at("center").get<double>(), pin.at("scale").get<double>()));
  }
  nn::for_each_parameter(net, [&](const std::string& name, const nn::Parameter& parameter) {
    if (parameter.kind == nn::ParameterKind::batches_tracked)
      state.emplace_back(name, Tensor(Shape{}, DType::i64));
    EXPECT_TRUE(parameter.kind == nn::ParameterKind::batches_tracked || golden.at("tensors").contains(name))
        << name;
  });
  set_state(net, state);
  return net;
}
inline nn::Sequential network_of_golden(const json& golden) {
  const Shape input = shape_of(golden.at("input"));
  return with_weights_of(
      golden, models::make(golden.at("model").get<std::string>(),
                           {.in_channels = input[1], .classes = golden.at("classes").get<std::int64_t>()}));
}

inline void expect_scalar(const std::string& what, double value, const json& pin) {
  EXPECT_NEAR(value, pin.at("value").get<double>(), pin.at("tolerance").get<double>()) << what;
}

/// By what a gradient is held to its golden: float32's error, or what errors of a Winograd kernel move it by
/// when they flip a ReLU (reference/README.md, "How to read a disagreement").
enum class Held : std::uint8_t { to_float32, to_noise };

/// Norm, sum, largest value and samples within the golden's tolerances. The noise says nothing of sums.
inline void expect_pinned(const std::string& what, const Tensor& tensor, const json& golden, const json& pin,
                          Held held = Held::to_float32) {
  ASSERT_EQ(tensor.shape().elements(), shape_of(pin.at("shape")).elements()) << what;
  const auto values = tensor.values();
  if (pin.contains("exactly_zero")) {
    for (const float v : values) ASSERT_EQ(v, 0.0F) << what;
    return;
  }
  double squares = 0;
  double sum = 0;
  double largest = 0;
  for (const float f : values) {
    const auto v = static_cast<double>(f);
    squares += v * v;
    sum += v;
    largest = std::max(largest, std::abs(v));
  }
  // An f32 result cannot be nearer than its own rounding.
  const double rounding = 0x1p-23 * largest;
  const bool noisy = held == Held::to_noise;
  const auto bound = [&](const std::string& kind) {
    return noisy ? 2 * pin.at("noisy_" + kind + "deviation").get<double>()
                 : pin.at(kind + "tolerance").get<double>();
  };
  const double tolerance = bound("") + rounding;
  EXPECT_NEAR(std::sqrt(squares), pin.at("l2").get<double>(), bound("l2_") + rounding) << what << ": l2 norm";
  if (!noisy) {
    EXPECT_NEAR(sum, pin.at("sum").get<double>(),
                bound("sum_") + rounding * std::sqrt(static_cast<double>(values.size())))
        << what << ": sum";
  }
  EXPECT_NEAR(largest, pin.at("max_abs").get<double>(), tolerance) << what << ": largest";
  const RandomStream stream(seed_of(golden), "samples/" + what);
  const json& samples = pin.at("samples");
  for (std::size_t j = 0; j < samples.size(); ++j) {
    const std::size_t index = samples.size() == values.size() ? j : stream.word(j) % values.size();
    EXPECT_NEAR(static_cast<double>(values[index]), samples[j].get<double>(), tolerance)
        << what << "[" << index << "]";
  }
}

}  // namespace resnet::test

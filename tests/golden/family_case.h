// One network of tests/golden/family.json, which reference/family.py makes: its logits.
#pragma once

#include <cmath>
#include <string>

#include "golden/pins.h"

namespace resnet::test {

// Every value by the rule of reference/README.md, from its name and kind.
inline void fill_family(nn::Sequential& net, std::uint64_t seed) {
  State state;
  nn::for_each_parameter(net, [&](const std::string& name, const nn::Parameter& parameter) {
    using Kind = nn::ParameterKind;
    double center = 0, scale = 0.1;  // biases and running means
    if (parameter.kind == Kind::weight) scale = std::sqrt(3.0 / static_cast<double>(parameter.fan_in));
    if (parameter.kind == Kind::norm_weight) center = 0.5;
    if (parameter.kind == Kind::running_var) center = 1, scale = 0.2;
    const bool counter = parameter.kind == Kind::batches_tracked;
    state.emplace_back(
        name, counter ? Tensor(Shape{}, DType::i64) : filled(seed, name, parameter.shape, center, scale));
  });
  set_state(net, state);
}

inline void expect_logits_of_pytorch(const std::string& model) {
  const json golden = read_golden("family");
  const Tensor images = batch_of(golden).images;
  int compared = 0;
  for (const json& c : golden.at("cases")) {
    if (c.at("model").get<std::string>() != model) continue;
    nn::Sequential net = models::make(model, {.classes = golden.at("classes").get<std::int64_t>()});
    fill_family(net, seed_of(golden));
    for (const Mode mode : {Mode::eval, Mode::train}) {  // training moves the running statistics
      const json& pin = c.at(mode == Mode::train ? "train" : "eval");
      const Tensor logits = forward(net, images, mode);
      ASSERT_EQ(logits.values().size(), pin.at("logits").size());
      for (std::size_t i = 0; i < logits.values().size(); ++i) {
        EXPECT_NEAR(static_cast<double>(logits.values()[i]), pin.at("logits")[i].get<double>(),
                    pin.at("tolerance").get<double>())
            << model << (mode == Mode::train ? " train " : " eval ") << i;
      }
      ++compared;
    }
  }
  EXPECT_EQ(compared, 2);
}

}  // namespace resnet::test

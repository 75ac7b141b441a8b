// Engines with optimisers: frozen parameters in every place of a network, and what is refused.
#include <gtest/gtest.h>

#include "support/networks.h"

namespace resnet {
namespace {

using test::Examples;

const Shape kImages{4, 1, 32, 32};

nn::Sequential small_network() {
  return test::random_network("d2l_resnet18",
                              {.in_channels = 1, .classes = 5, .blocks = {1, 1}, .channels = {8, 16}});
}

State after_two_steps(const EngineFactory& make, const EngineOptions& options, const nn::Module& net) {
  const auto engine = make(network_of(net, kImages), options);
  for (const std::uint64_t seed : {1U, 2U}) {
    const Examples e = test::examples(kImages, 5, seed);
    engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0.01F});
  }
  return engine->state();
}

TEST(EngineOptimizer, FrozenParametersStayAndTheOthersLearnAsInTheReference) {
  const nn::Sequential net = small_network();
  const State before = state_of(net);
  const std::vector<std::vector<std::string>> frozen = {
      {"0.*"},                          // the stem
      {"0.*", "1.*"},                   // a stage more
      {"0.0.*"},                        // a convolution in front of a norm that learns
      {"*.bn1.*", "*.bn2.*", "0.1.*"},  // all norms
      {"*.weight"},                     // biases and norms' biases learn alone
      {"*.bias"},
      {"1.*", "2.0.conv*"},   // in the middle
      {"5.*"},                // the last layer
      {"0.*", "1.*", "2.*"},  // all but the last layer
  };
  for (const auto& names : frozen) {
    EngineOptions options{.threads = 2};
    for (const std::string& name : names) options.optimizer.groups.push_back({.names = name, .frozen = true});
    std::string what;
    for (const std::string& name : names) what += name + " ";
    SCOPED_TRACE(what);
    const State native = after_two_steps(make_native_engine, options, net);
    test::expect_states_near(native, after_two_steps(make_reference_engine, options, net), 1e-4);
    // What a group names stays; something else learns.
    std::size_t same = 0, learned = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const std::string& name = before[i].first;
      if (before[i].second.dtype() != DType::f32 || name.find("running") != std::string::npos) continue;
      (test::distance(before[i].second, native[i].second) == 0 ? same : learned) += 1;
      if (names.size() == 1 && names[0].back() == '*' &&
          name.starts_with(names[0].substr(0, names[0].size() - 1)))
        EXPECT_EQ(test::distance(before[i].second, native[i].second), 0) << name;
    }
    EXPECT_GT(same, 0U);
    EXPECT_GT(learned, 0U);
  }
}

TEST(EngineOptimizer, FrozenParametersHaveNoGradients) {
  for (const EngineFactory& make :
       {EngineFactory(make_native_engine), EngineFactory(make_reference_engine)}) {
    EngineOptions options;
    options.optimizer.groups = {{.names = "0.*", .frozen = true}};
    const auto engine = make(network_of(small_network(), kImages), options);
    const Examples e = test::examples(kImages, 5);
    engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
    for (const GradientSpan& gradient : engine->gradient_spans())
      EXPECT_FALSE(gradient.name.starts_with("0.")) << gradient.name;
    for (const auto& [name, gradient] : engine->gradient_values()) {
      if (name.starts_with("0.")) {
        EXPECT_EQ(test::norm(gradient), 0) << name;
      }
    }
  }
}

// A head whose answer is ignored: a training step has no gradient for it.
class WithIdleHead : public nn::Module {
 public:
  WithIdleHead()
      : body_(&add("body", nn::Linear{16, 8})),
        idle_(&add("idle", nn::Linear{8, 3})),
        head_(&add("head", nn::Linear{8, 5})) {}
  Value operator()(Value x) const override {
    const Value y = relu((*body_)(nn::Flatten{}(x)));
    (*idle_)(y);
    return (*head_)(y);
  }

 private:
  nn::Linear *body_, *idle_, *head_;
};

// As in PyTorch, whose .grad is None there: neither decay nor what an optimiser remembers.
TEST(EngineOptimizer, LeavesWhatTheLossDoesNotReachAlone) {
  const Shape images{4, 1, 4, 4};
  WithIdleHead net;
  nn::init(net, nn::Scheme::chapter, 3);
  const Examples e = test::examples(images, 5);
  for (const EngineFactory& make :
       {EngineFactory(make_native_engine), EngineFactory(make_reference_engine)}) {
    for (const OptimizerOptions& optimizer :
         std::vector<OptimizerOptions>{{.method = SgdOptions{.momentum = 0.9, .weight_decay = 0.25}},
                                       {.method = AdamWOptions{.weight_decay = 0.25}}}) {
      for (const bool in_halves : {false, true}) {
        const Network network = network_of(net, images);
        const auto engine = make(network, {.optimizer = optimizer});
        if (in_halves) {
          engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
          engine->apply({.lr = 0.1F});
        } else {
          engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0.1F});
        }
        const State after = engine->state();
        for (std::size_t i = 0; i < after.size(); ++i) {
          const auto& [name, value] = after[i];
          EXPECT_EQ(test::distance(value, network.state[i].second) == 0, name.starts_with("idle.")) << name;
        }
        for (const auto& [name, value] : engine->state(StateScope::all))
          EXPECT_EQ(name.find("/idle."), std::string::npos) << name;
      }
    }
  }
}

TEST(EngineOptimizer, KeepsSlotsOfWhatItUpdatesAlone) {
  EngineOptions options;
  options.optimizer = {.method = AdamWOptions{.weight_decay = 0},
                       .groups = {{.names = "0.*", .frozen = true}}};
  const auto engine = make_engine(network_of(small_network(), kImages), options);
  std::size_t slots = 0;
  for (const auto& [name, tensor] : engine->state(StateScope::all)) {
    if (!name.starts_with("optimizer/")) continue;
    ++slots;
    EXPECT_EQ(test::norm(tensor), 0) << name;
    EXPECT_EQ(name.find("/0."), std::string::npos) << name;
    EXPECT_EQ(name.find("conv1.bias"), std::string::npos) << name << ": zero by algebra";
  }
  EXPECT_GT(slots, 20U);
}

TEST(EngineOptimizer, RefusesWhatItCannotBe) {
  for (const EngineFactory& make :
       {EngineFactory(make_native_engine), EngineFactory(make_reference_engine)}) {
    EngineOptions options;
    options.optimizer.method = AdamWOptions{.beta2 = 1};
    EXPECT_THROW(make(network_of(small_network(), kImages), options), ConfigError);
    options.optimizer = {.groups = {{.names = "fc.*", .lr_factor = 10}}};
    EXPECT_THROW(make(network_of(small_network(), kImages), options), ConfigError);
    const auto engine = make(network_of(small_network(), kImages), EngineOptions{});
    const State before = engine->state(StateScope::all);
    const Examples e = test::examples(kImages, 5);
    EXPECT_THROW(
        engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0.1F, .momentum = 0.9F}),
        ConfigError);
    const State after = engine->state(StateScope::all);
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (before[i].second.dtype() == DType::f32) {
        EXPECT_EQ(test::distance(before[i].second, after[i].second), 0) << before[i].first;
      }
    }
  }
}

}  // namespace
}  // namespace resnet

// All that a step depends on is in state(StateScope::all): what is set back goes on bit for bit. And
// gradients that can be written.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/machine.h"
#include "support/networks.h"
#include "support/oracle.h"

namespace resnet {
namespace {

using test::Examples;

const Shape kImages{6, 2, 9, 8};

// A network with norms, dropout, and a bias whose gradient is zero by algebra.
nn::Sequential small_network() {
  nn::Sequential net(nn::Conv2d{2, 8, {.padding = 1}}, nn::BatchNorm2d{8}, nn::ReLU{}, nn::Residual{8, 8},
                     nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Dropout{0.4}, nn::Linear{8, 5});
  nn::init(net, nn::Scheme::chapter, 2);
  return net;
}

struct Case {
  std::string name;
  EngineFactory make;
  EngineOptions options;
};

std::vector<Case> cases() {
  const std::vector<std::pair<std::string, OptimizerOptions>> optimizers = {
      {"sgd", {}},
      {"momentum", {.method = SgdOptions{.momentum = 0.9, .dampening = 0.1, .weight_decay = 0.01}}},
      {"nesterov", {.method = SgdOptions{.momentum = 0.9, .nesterov = true}}},
      {"adamw", {.method = AdamWOptions{}}},
      {"averaged",
       {.method = SgdOptions{.momentum = 0.9},
        .groups = {{.names = "0.*", .frozen = true}},
        .average = true}}};
  std::vector<Case> result;
  for (const auto& [name, optimizer] : optimizers) {
    for (const int threads : {1, 2}) {
      const std::string suffix = "_" + std::to_string(threads) + "_" + name;
      result.push_back({"native" + suffix, make_native_engine, {.threads = threads, .optimizer = optimizer}});
      if (best_isa() == Isa::avx512_bf16)
        result.push_back({"bf16" + suffix,
                          make_native_engine,
                          {.threads = threads, .precision = Precision::bf16, .optimizer = optimizer}});
    }
    result.push_back({"reference_" + name, make_reference_engine, {.optimizer = optimizer}});
  }
  return result;
}

class EngineState : public ::testing::TestWithParam<Case> {
 protected:
  std::unique_ptr<Engine> engine() const {
    EngineOptions options = GetParam().options;
    options.seed = 7;
    return GetParam().make(network_of(net_, kImages), options);
  }

  // Steps on batches `first` and so on, the last one with fewer examples.
  static void train(Engine& engine, std::uint64_t first, int steps, const StepInputs& inputs) {
    for (int i = 0; i < steps; ++i) {
      const Shape images{i + 1 == steps ? 3 : kImages[0], kImages[1], kImages[2], kImages[3]};
      const Examples e = test::examples(images, 5, first + static_cast<std::uint64_t>(i));
      engine.step(e.images.view<float>(), e.labels.view<std::int32_t>(), inputs);
    }
  }
  static void train(Engine& engine, std::uint64_t first, int steps) { train(engine, first, steps, inputs()); }
  static StepInputs inputs() {
    return {.lr = 0.05F, .average_share = GetParam().options.optimizer.average ? 0.25F : 0.0F};
  }

  static Examples batch() { return test::examples(kImages, 5, 99); }

  static void take_gradients(Engine& engine) {
    const Examples e = batch();
    engine.gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  }

  nn::Sequential net_ = small_network();
};

bool same_bytes(const State& a, const State& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].first != b[i].first || a[i].second.bytes() != b[i].second.bytes()) return false;
    if (std::memcmp(a[i].second.raw(), b[i].second.raw(), a[i].second.bytes()) != 0) return false;
  }
  return true;
}

TEST_P(EngineState, SetBackGoesOnBitForBit) {
  const auto engine = this->engine();
  train(*engine, 1, 10);
  const State saved = engine->state(StateScope::all);
  train(*engine, 20, 10);
  const State expected = engine->state(StateScope::all);
  EXPECT_FALSE(same_bytes(saved, expected));

  engine->set_state(saved);
  EXPECT_TRUE(same_bytes(engine->state(StateScope::all), saved));
  train(*engine, 20, 10);
  EXPECT_TRUE(same_bytes(engine->state(StateScope::all), expected)) << "the same engine";

  const auto other = this->engine();
  other->set_state(saved);
  train(*other, 20, 10);
  EXPECT_TRUE(same_bytes(other->state(StateScope::all), expected)) << "another engine";
}

TEST_P(EngineState, OfTheNetworkHasItsNamesAlone) {
  const auto engine = this->engine();
  train(*engine, 1, 2);
  const State initial = state_of(net_), network = engine->state(), all = engine->state(StateScope::all);
  ASSERT_EQ(network.size(), initial.size());
  ASSERT_GT(all.size(), network.size());
  for (std::size_t i = 0; i < initial.size(); ++i) {
    EXPECT_EQ(network[i].first, initial[i].first);
    EXPECT_EQ(network[i].second.dtype(), initial[i].second.dtype());
    EXPECT_EQ(all[i].first, initial[i].first);
  }
  nn::Sequential trained = small_network();
  set_state(trained, network);
  EXPECT_TRUE(same_bytes(state_of(trained), network));
}

TEST_P(EngineState, WithoutAllNamesOverwritesThoseAlone) {
  const auto engine = this->engine();
  train(*engine, 1, 3);
  const State before = engine->state(StateScope::all);
  Tensor bias(Shape{5});
  bias.values()[3] = 2.5F;
  engine->set_state({{"7.bias", bias}});
  for (const auto& [name, tensor] : engine->state())
    if (name == "7.bias") EXPECT_EQ(tensor.values()[3], 2.5F);
  const State after = engine->state(StateScope::all);
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < after.size(); ++i)
    if (before[i].first != "7.bias") EXPECT_TRUE(same_bytes({after[i]}, {before[i]})) << before[i].first;
}

TEST_P(EngineState, WithANameOfTheEnginesIsRefused) {
  Network network = network_of(net_, kImages);
  network.state.emplace_back("engine/steps", Tensor(Shape{1000}, DType::i64));
  EXPECT_THROW(GetParam().make(std::move(network), GetParam().options), ShapeError);
}

// Until the next call but of apply(), which takes what is written every time.
TEST_P(EngineState, SpansAreTakenByEveryApply) {
  if (GetParam().name.find("sgd") == std::string::npos) return;  // what the others remember moves too
  const auto engine = this->engine();
  take_gradients(*engine);
  const std::vector<GradientSpan> spans = engine->gradient_spans();
  engine->apply({.lr = 0});
  const State before = state_of(net_);
  for (const GradientSpan& span : spans) std::ranges::fill(span.values, span.name == "7.bias" ? 0.25F : 0.0F);
  engine->apply({.lr = 2});
  const State after = engine->state();
  for (std::size_t i = 0; i < after.size(); ++i) {
    const auto& [name, tensor] = after[i];
    if (name == "7.bias") {
      EXPECT_EQ(tensor.values()[0], before[i].second.values()[0] - 0.5F);
    } else if (name.find("running_") == std::string::npos && tensor.dtype() == DType::f32) {
      EXPECT_TRUE(same_bytes({after[i]}, {before[i]})) << name;
    }
  }
}

// Of parameters, frozen ones too, and running statistics; counts are not averaged.
TEST_P(EngineState, HasTheAverageThatItsSharesMake) {
  const auto engine = this->engine();
  if (!GetParam().options.optimizer.average) {
    EXPECT_THROW(engine->swap_average(), ConfigError);
    EXPECT_THROW(train(*engine, 1, 1, {.lr = 0.05F, .average_share = 0.5F}), ConfigError);
    return;
  }
  for (const float share : {-0.5F, 1.5F, std::numeric_limits<float>::quiet_NaN()})
    EXPECT_THROW(train(*engine, 1, 1, {.lr = 0.05F, .average_share = share}), ConfigError) << share;
  State expected;
  std::uint64_t number = 0;
  for (const float share : {0.0F, 1.0F, 0.5F, 0.0F, 0.125F}) {
    train(*engine, ++number, 1, {.lr = 0.05F, .average_share = share});
    const State now = engine->state();
    if (share == 1) expected = now;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (now[i].second.dtype() != DType::f32) {
        expected[i].second = now[i].second;
        continue;
      }
      const std::span<float> average = expected[i].second.values();
      for (std::size_t k = 0; k < average.size(); ++k)
        average[k] += share * (now[i].second.values()[k] - average[k]);
    }
  }
  const State own = engine->state(), all = engine->state(StateScope::all);
  const Tensor answer = engine->infer(batch().images.view<float>());
  engine->swap_average();
  const State average = engine->state();
  ASSERT_EQ(average.size(), expected.size());
  for (std::size_t i = 0; i < average.size(); ++i) {
    SCOPED_TRACE(average[i].first);
    EXPECT_EQ(average[i].first, own[i].first);
    const bool same = same_bytes({average[i]}, {own[i]});
    if (average[i].first.starts_with("0.")) EXPECT_TRUE(same) << "frozen";
    if (average[i].first.starts_with("1.") || average[i].first == "7.weight")
      EXPECT_EQ(same, average[i].second.dtype() != DType::f32);
    if (average[i].second.dtype() != DType::f32) continue;
    const double least = GetParam().name.starts_with("reference") ? 1e-6 : 0;  // it averages in double
    EXPECT_LE(test::distance(average[i].second, expected[i].second), least * test::norm(expected[i].second));
  }
  EXPECT_GT(test::distance(engine->infer(batch().images.view<float>()), answer), 1e-6) << "of the average";
  engine->swap_average();
  EXPECT_TRUE(same_bytes(engine->state(StateScope::all), all));
  EXPECT_TRUE(same_bytes({{"", engine->infer(batch().images.view<float>())}}, {{"", answer}}));
}

TEST_P(EngineState, ThatDoesNotFitChangesNothing) {
  const auto engine = this->engine();
  const State before = engine->state(StateScope::all);
  Tensor ones(Shape{5});
  for (float& v : ones.values()) v = 1;
  for (const auto& [name, tensor] :
       State{{"7.bogus", ones}, {"7.weight", ones}, {"7.bias", Tensor(Shape{5}, DType::i32)}}) {
    EXPECT_THROW(engine->set_state({{"7.bias", ones}, {name, tensor}}), ShapeError) << name;
    EXPECT_TRUE(same_bytes(engine->state(StateScope::all), before)) << name;
  }
}

TEST_P(EngineState, GradientsAndApplyAreAStep) {
  const auto whole = this->engine(), parts = this->engine();
  const Examples e = batch();
  for (int i = 0; i < 3; ++i) {
    whole->step(e.images.view<float>(), e.labels.view<std::int32_t>(), inputs());
    take_gradients(*parts);
    parts->apply(inputs());
  }
  EXPECT_TRUE(same_bytes(parts->state(StateScope::all), whole->state(StateScope::all)));
}

// What is kept of the gradients of parts is their mean, each by its examples: that of the parts in one, but for
// batch norms, which see the parts. Also what was written into spans between them counts.
TEST_P(EngineState, GradientsOfPartsAreTheirMean) {
  const auto whole = this->engine(), parts = this->engine();
  const Examples first = test::examples(kImages, 5, 1), second = test::examples({2, 2, 9, 8}, 5, 2);
  const auto take = [](Engine& engine, const Examples& e, float share) {
    engine.gradients(e.images.view<float>(), e.labels.view<std::int32_t>(), share);
    return engine.gradient_values();
  };
  for (const float share : {0.0F, -1.0F, 1.5F, std::numeric_limits<float>::quiet_NaN()})
    EXPECT_THROW(take(*parts, first, share), ConfigError) << share;
  EXPECT_THROW(take(*parts, first, 0.5F), ConfigError) << "there are none to which they could be added";
  State expected = take(*whole, first, 1);
  const State of_second = take(*whole, second, 1);
  take(*parts, first, 1);
  for (const GradientSpan& span : parts->gradient_spans())
    if (span.name == "7.bias") span.values[0] = 3;
  const State mean = take(*parts, second, 0.25F);  // 2 of 8
  ASSERT_EQ(mean.size(), expected.size());
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const std::span<float> values = expected[i].second.values();
    if (expected[i].first == "7.bias") values[0] = 3;
    for (std::size_t k = 0; k < values.size(); ++k)
      values[k] = 0.75F * values[k] + 0.25F * of_second[i].second.values()[k];
    EXPECT_LE(test::distance(mean[i].second, expected[i].second),
              0x1p-22 * (1e-3 + test::norm(expected[i].second)))
        << mean[i].first;
  }
}

TEST_P(EngineState, UntouchedSpansChangeNoUpdate) {
  const auto engine = this->engine(), looked_at = this->engine();
  for (Engine* each : {engine.get(), looked_at.get()}) take_gradients(*each);
  EXPECT_FALSE(looked_at->gradient_spans().empty());
  for (Engine* each : {engine.get(), looked_at.get()}) each->apply({.lr = 0.05F});
  EXPECT_TRUE(same_bytes(looked_at->state(StateScope::all), engine->state(StateScope::all)));
}

TEST_P(EngineState, ApplyTakesWhatWasWrittenIntoSpans) {
  const auto engine = this->engine();
  EXPECT_THROW(engine->gradient_spans(), ConfigError);
  EXPECT_THROW(static_cast<void>(engine->gradient_values()), ConfigError);
  EXPECT_THROW(engine->apply({.lr = 1}), ConfigError);
  const State before = engine->state();
  take_gradients(*engine);
  const State gradients = engine->gradient_values();
  std::size_t found = 0;
  for (const GradientSpan& gradient : engine->gradient_spans()) {
    const auto own = std::find_if(gradients.begin(), gradients.end(),
                                  [&](const auto& entry) { return entry.first == gradient.name; });
    ASSERT_NE(own, gradients.end()) << gradient.name;
    ASSERT_EQ(gradient.values.size(), own->second.values().size()) << gradient.name;
    double of_span = 0, of_values = 0;
    for (const float v : gradient.values) of_span += std::abs(static_cast<double>(v));
    for (const float v : own->second.values()) of_values += std::abs(static_cast<double>(v));
    EXPECT_NEAR(of_span, of_values, 1e-6 * of_values) << gradient.name;
    for (float& v : gradient.values) v = gradient.name == "7.bias" ? 0.25F : 0.0F;
    ++found;
  }
  EXPECT_LT(found, gradients.size()) << "biases in front of norms have none";
  engine->apply({.lr = 2});
  if (engine->state(StateScope::all).size() > before.size() + 2) return;  // slots: not plain SGD
  for (std::size_t i = 0; i < before.size(); ++i) {
    const auto& [name, old] = before[i];
    if (old.dtype() != DType::f32 || name.find("running") != std::string::npos) continue;
    const Tensor now = engine->state()[i].second;
    const float change = name == "7.bias" ? 0.5F : 0.0F;
    for (std::size_t k = 0; k < old.values().size(); ++k)
      EXPECT_EQ(now.values()[k], old.values()[k] - change) << name;
  }
}

TEST_P(EngineState, BadLabelsLeaveItAsItWas) {
  const auto engine = this->engine();
  train(*engine, 1, 2);
  const State before = engine->state(StateScope::all);
  Examples e = batch();
  e.labels.view<std::int32_t>()[2] = 5;
  EXPECT_THROW(engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 1}), ShapeError);
  EXPECT_TRUE(same_bytes(engine->state(StateScope::all), before));
}

TEST_P(EngineState, WithANameTwiceIsRefused) {
  Network network = network_of(small_network(), kImages);
  network.state.push_back(network.state[0]);
  EXPECT_THROW(GetParam().make(std::move(network), GetParam().options), ShapeError);
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineState, ::testing::ValuesIn(cases()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace resnet

// Whatever public operations are put together: the native engine gives what the reference gives, for any
// number of threads, with fusion and without, or both refuse.
#include "support/random_graph.h"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>

#include "base/random.h"
#include "support/isas.h"
#include "support/networks.h"

namespace resnet {
namespace {

using test::RandomGraph;

// What one engine gives, or nothing where it refuses.
template <class Use>
std::optional<State> given(const Network& network, bool native, const EngineOptions& options,
                           const Use& use) {
  try {
    const auto engine = native ? make_engine(network, options) : make_reference_engine(network, options);
    return use(*engine);
  } catch (const Error&) {
    return std::nullopt;
  }
}

void expect_same_bits(const State& a, const State& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_EQ(std::memcmp(a[i].second.raw(), b[i].second.raw(), a[i].second.bytes()), 0) << a[i].first;
}

// Gives whether the network is accepted.
template <class Use>
bool expect_one_answer(const Network& network, double tolerance, const Use& use,
                       const OptimizerOptions& optimizer = {}) {
  const auto expected = given(network, false, {.optimizer = optimizer}, use);
  for (const Isa isa : test::isas()) {
    if (isa == Isa::avx512_bf16) continue;  // computes f32 as the one before
    for (const bool fuse : {true, false}) {
      EngineOptions options{.threads = 1, .isa = std::string(name_of(isa)), .fuse = fuse};
      options.optimizer = optimizer;
      const auto one = given(network, true, options, use);
      options.threads = 2;
      const auto two = given(network, true, options, use);
      EXPECT_EQ(one.has_value(), expected.has_value()) << "the engines do not agree whether they accept it";
      if (!one || !two || !expected) continue;
      expect_same_bits(*one, *two);
      test::expect_states_near(*one, *expected, tolerance);
    }
  }
  return expected.has_value();
}

State answer(Engine& engine, const Shape& images) {
  const test::Examples e = test::examples(images, 2);
  State result;
  result.emplace_back("output", engine.infer(e.images.view<float>()));
  return result;
}

State gradients(Engine& engine, const Shape& images) {
  const test::Examples e = test::examples(images, 2);
  engine.gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  return engine.gradient_values();
}

TEST(RandomGraphs, AreComputedAsTheReferenceDoesOrRefused) {
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const RandomGraph random(seed, seed % 3 == 0 ? 0 : 10, false);
    const Network network{random.graph(), std::nullopt, random.state()};
    const auto infer = [&](Engine& engine) { return answer(engine, random.images()); };
    accepted += expect_one_answer(network, 1e-4, infer) ? 1 : 0;
    if (HasFailure()) FAIL() << to_string(random.graph());
  }
  EXPECT_GT(accepted, 60);
  EXPECT_LT(accepted, 140);
}

// In every second graph a third of the parameters: what needs no gradient changes what is fused.
OptimizerOptions some_frozen(const State& state, std::uint64_t seed) {
  OptimizerOptions optimizer;
  const RandomStream random(seed, "frozen");
  for (std::size_t i = 0; seed % 2 == 0 && i < state.size(); ++i) {
    if (random.word(i) % 3 == 0) optimizer.groups.push_back({.names = state[i].first, .frozen = true});
  }
  return optimizer;
}

TEST(RandomGraphs, HaveTheGradientsOfTheReferenceOrAreRefused) {
  int accepted = 0;
  for (std::uint64_t seed = 1000; seed < 1060; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const RandomGraph random(seed, seed % 3 == 0 ? 0 : 10, true);
    const Network network{random.graph(), random.graph(), random.state()};
    const auto step = [&](Engine& engine) { return gradients(engine, random.images()); };
    accepted += expect_one_answer(network, 1e-3, step, some_frozen(network.state, seed)) ? 1 : 0;
    if (HasFailure()) FAIL() << to_string(random.graph());
  }
  EXPECT_GT(accepted, 20);
}

}  // namespace
}  // namespace resnet

// The native engine against the oracle on the zoo: logits, loss, all gradients and the running
// statistics, at every instruction set that this machine has.
//
// The tolerance is derived: an untrained network with batch statistics of few values amplifies
// rounding by orders of magnitude, so what f32 may deviate is measured by running the oracle itself
// with noise of the size of f32 rounding at every node.
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "base/machine.h"
#include "engine/zoo_case.h"
#include "support/networks.h"

namespace resnet {
namespace {

using test::ZooCase;

class AgainstReference : public ::testing::TestWithParam<ZooCase> {};

TEST_P(AgainstReference, ForwardAndAllGradientsAgree) {
  test::expect_native_matches_reference(GetParam());
}

// A double has room for 53 bits of a seed.
TEST(ReferenceEngine, DropsWhatTheNativeOneDropsForEverySeed) {
  constexpr std::uint64_t kWide = std::uint64_t{1} << 53U;
  const nn::Sequential net =
      test::initialised(nn::Sequential(nn::Flatten{}, nn::Dropout{0.5}, nn::Linear{64, 5}));
  const Shape images{4, 1, 8, 8};
  const test::Examples e = test::examples(images, 5);
  const auto loss = [&](const EngineFactory& make, std::uint64_t seed) {
    const auto engine = make(network_of(net, images), {.seed = seed});
    return engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>()).loss_sum;
  };
  EXPECT_GT(std::abs(loss(make_native_engine, kWide + 1) - loss(make_native_engine, kWide)), 1e-2)
      << "the seeds drop the same: take another network";
  for (const std::uint64_t seed : {std::uint64_t{7}, kWide + 1, std::uint64_t{1} << 63U, ~std::uint64_t{0}})
    EXPECT_NEAR(loss(make_reference_engine, seed), loss(make_native_engine, seed), 1e-4) << seed;
}

INSTANTIATE_TEST_SUITE_P(
    Zoo, AgainstReference,
    ::testing::Values(ZooCase{"d2l_resnet18", {2, 3, 64, 64}}, ZooCase{"d2l_resnet34", {2, 3, 64, 64}},
                      ZooCase{"d2l_resnet50", {2, 3, 64, 64}}, ZooCase{"resnet18", {2, 3, 64, 64}},
                      ZooCase{"resnet34", {2, 3, 64, 64}}, ZooCase{"resnet50", {2, 3, 64, 64}},
                      ZooCase{"d2l_resnet18", {3, 1, 97, 61}}),
    [](const auto& tested) { return tested.param.model + "_" + std::to_string(tested.index); });

}  // namespace
}  // namespace resnet

// What the family adds to the zoo, at small sizes: the native engine's logits and gradients are the
// reference's.
#include "support/family.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/zoo_case.h"
#include "support/networks.h"

namespace resnet {
namespace {

class FamilyAgainstReference : public ::testing::TestWithParam<test::FamilyCase> {};

TEST_P(FamilyAgainstReference, ForwardAndAllGradientsAgree) {
  const nn::Sequential net = test::random_network(GetParam().model, GetParam().options);
  test::expect_native_matches_reference(net, {3, GetParam().in_channels(), 37, 29});
}

INSTANTIATE_TEST_SUITE_P(Networks, FamilyAgainstReference, ::testing::ValuesIn(test::family_cases()),
                         [](const auto& tested) { return tested.param.label; });

TEST(Family, Bf16StaysWithinItsNoise) {
  for (const std::string model : {"resnet18d", "seresnet18", "resnetv2_18", "resnext50_32x4d"}) {
    models::ResNetOptions options{.classes = 10, .blocks = {1, 1}, .channels = {16, 32}};
    if (model == "resnext50_32x4d") options.width_per_group = 8;
    test::expect_native_matches_reference(test::random_network(model, options), {3, 3, 37, 29},
                                          Precision::bf16);
  }
}

// Stochastic depth: the bits do not depend on the threads, and the engines draw the same numbers.
TEST(Family, DropPathHasTheSameBitsForAnyNumberOfThreads) {
  const Shape images{6, 3, 33, 31};
  const nn::Sequential net = test::random_network(
      "resnet18", {.classes = 10, .blocks = {2, 2}, .channels = {16, 32}, .drop_path = 0.5});
  const Network network = network_of(net, images);
  const test::Examples e = test::examples(images, 10);
  std::vector<double> losses;
  std::vector<State> states;
  for (const int threads : {1, 2, 3}) {
    const auto engine = make_native_engine(network, {.threads = threads, .seed = 7});
    for (int step = 0; step < 3; ++step)
      losses.push_back(engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.01F}).loss_sum);
    states.push_back(engine->state());
  }
  for (std::size_t i = 3; i < losses.size(); ++i) EXPECT_EQ(losses[i], losses[i - 3]);
  for (std::size_t i = 0; i < states[0].size(); ++i) {
    if (states[0][i].second.dtype() != DType::f32) continue;
    const auto one = states[0][i].second.values(), three = states[2][i].second.values();
    EXPECT_TRUE(std::equal(one.begin(), one.end(), three.begin())) << states[0][i].first;
  }
  const auto reference = make_reference_engine(network, {.seed = 7});
  const double exact =
      reference->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.01F}).loss_sum;
  EXPECT_NEAR(losses[0], exact, 1e-4 * std::abs(exact));
}

}  // namespace
}  // namespace resnet

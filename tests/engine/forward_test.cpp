// y = module(x), once or with what is compiled kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/networks.h"

namespace resnet {
namespace {

using testing::ElementsAreArray;

nn::Sequential network() {
  return nn::Sequential(nn::Conv2d{2, 8, {.padding = 1}}, nn::BatchNorm2d{8}, nn::ReLU{},
                        nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{8, 5});
}

TEST(Forward, GivesWhatAnEngineGives) {
  nn::Sequential net = test::initialised(network());
  const Tensor x = random_uniform({3, 2, 9, 8}, 1);
  const auto engine = make_engine(network_of(net, x.shape()));
  EXPECT_THAT(forward(net, x).values(), ElementsAreArray(engine->infer(x.view<float>()).values()));
}

TEST(Forward, ReadsTheValuesOfTheModuleAtEveryCall) {
  nn::Sequential net = network();
  Forward f(net);
  const Tensor x = random_uniform({3, 2, 9, 8}, 1);
  const Tensor first = f(x);
  EXPECT_THAT(f(x).values(), ElementsAreArray(first.values()));
  for (float& v : net[5].parameters()[1].value.values()) v += 1;
  const Tensor changed = f(x);
  for (std::size_t i = 0; i < first.values().size(); ++i)
    EXPECT_NEAR(changed.values()[i], first.values()[i] + 1, 1e-6);
  EXPECT_THAT(forward(net, x).values(), ElementsAreArray(changed.values()));
}

TEST(Forward, TakesOneShapeAfterTheOther) {
  nn::Sequential net = network();
  Forward f(net);
  for (const Shape& shape : {Shape{3, 2, 9, 8}, Shape{1, 2, 5, 5}, Shape{3, 2, 9, 8}}) {
    const Tensor x = random_uniform(shape, 2);
    EXPECT_EQ(f(x).shape(), (Shape{shape[0], 5}));
    EXPECT_THAT(f(x).values(), ElementsAreArray(forward(net, x).values())) << shape;
  }
  EXPECT_THROW(f(random_uniform({1, 3, 5, 5})), ShapeError);
}

TEST(Forward, InTrainModeLeavesRunningStatisticsAlone) {
  nn::Sequential net = test::initialised(network());
  const State before = state_of(net);
  Forward f(net, Mode::train);
  const Tensor x = random_uniform({4, 2, 9, 8}, 3);
  const Tensor y = f(x);
  EXPECT_THAT(f(x).values(), ElementsAreArray(y.values()));
  const State after = state_of(net);
  for (std::size_t i = 0; i < before.size(); ++i) {
    ASSERT_EQ(after[i].second.bytes(), before[i].second.bytes());
    EXPECT_TRUE(std::equal(after[i].second.raw(), after[i].second.raw() + after[i].second.bytes(),
                           before[i].second.raw()));
  }
  EXPECT_GT(test::distance(y, forward(net, x)), 0);
}

}  // namespace
}  // namespace resnet

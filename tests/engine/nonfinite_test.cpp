// A picture with one element that is not finite has no finite answer, and a step no finite gradient, wherever
// that element stands: as PyTorch, and as the operations one after the other.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "base/machine.h"
#include "support/isas.h"
#include "support/networks.h"

namespace resnet {
namespace {

// Of even extents the last rows and columns are the first of no window of the pool.
constexpr std::int64_t kHeight = 32, kWidth = 28, kClasses = 5;

nn::Sequential net() {
  return test::random_network(
      "d2l_resnet18", {.in_channels = 1, .classes = kClasses, .blocks = {1, 1}, .channels = {16, 24}});
}

/// A picture for each place of a border and some inside, with `value` there.
Tensor pictures(float value) {
  std::vector<std::int64_t> places;
  for (std::int64_t i = 0; i < kHeight * kWidth; ++i) {
    const std::int64_t row = i / kWidth, column = i % kWidth;
    if (row < 2 || row >= kHeight - 2 || column < 2 || column >= kWidth - 2 || i % 11 == 0)
      places.push_back(i);
  }
  const auto count = static_cast<std::int64_t>(places.size());
  Tensor images = random_uniform({count, 1, kHeight, kWidth}, 1);
  for (std::size_t i = 0; i < places.size(); ++i)
    images.values()[i * kHeight * kWidth + static_cast<std::size_t>(places[i])] = value;
  return images;
}

TEST(NotFinite, LeavesNoFiniteAnswer) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), kInf, -kInf}) {
    const Tensor images = pictures(value);
    const Network network{nn::trace(net(), images.shape(), Mode::eval), std::nullopt, state_of(net())};
    const Tensor expected = make_reference_engine(network)->infer(images.view<float>());
    for (const Isa isa : test::isas()) {
      const auto engine = make_native_engine(network, {.threads = 1, .isa = std::string(name_of(isa))});
      const Tensor answers = engine->infer(images.view<float>());
      int finite = 0;
      for (std::size_t i = 0; i < answers.values().size(); ++i)
        finite += std::isfinite(answers.values()[i]) && !std::isfinite(expected.values()[i]) ? 1 : 0;
      EXPECT_EQ(finite, 0) << name_of(isa) << ": answers to pictures with " << value;
      if (std::isnan(value)) {
        for (const float answer : expected.values()) EXPECT_FALSE(std::isfinite(answer));
      }
    }
  }
}

TEST(NotFinite, LeavesNoFiniteGradient) {
  test::Examples e = test::examples({4, 1, kHeight, kWidth}, kClasses);
  e.images.values()[kWidth * kHeight - 1] = std::numeric_limits<float>::quiet_NaN();
  const Network network = network_of(net(), e.images.shape());
  const auto reference = make_reference_engine(network);
  reference->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  const State expected = reference->gradient_values();
  for (const Isa isa : test::isas()) {
    const auto engine = make_native_engine(network, {.threads = 1, .isa = std::string(name_of(isa))});
    engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
    const State actual = engine->gradient_values();
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t k = 0; k < expected.size(); ++k) {
      const auto& [name, tensor] = expected[k];
      int finite = 0;
      for (std::size_t i = 0; i < tensor.values().size(); ++i)
        finite += std::isfinite(actual[k].second.values()[i]) && !std::isfinite(tensor.values()[i]) ? 1 : 0;
      EXPECT_EQ(finite, 0) << name_of(isa) << ": " << name << " of " << tensor.values().size();
    }
  }
}

// A variance of 1e50: the norm's output and the loss are finite.
TEST(NotFinite, RunningStatisticsAreSeenWhereTheLossSaysNothing) {
  test::Examples e = test::examples({4, 1, 6, 6}, 3);
  for (float& value : e.images.values()) value *= 1e25F;
  nn::Sequential net(nn::BatchNorm2d{1}, nn::Flatten{}, nn::Linear{36, 3});
  nn::init(net, net.scheme(), 0);
  for (const bool native : {true, false}) {
    const Network network = network_of(net, e.images.shape());
    std::unique_ptr<Engine> engine = native ? make_engine(network) : make_reference_engine(network);
    EXPECT_TRUE(engine->finite());
    const StepResult result =
        engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0.01F});
    EXPECT_TRUE(std::isfinite(result.loss_sum));
    if (native) EXPECT_FALSE(engine->finite());  // the reference has them in double
    engine->set_state(network.state);
    EXPECT_TRUE(engine->finite());
  }
}

}  // namespace
}  // namespace resnet

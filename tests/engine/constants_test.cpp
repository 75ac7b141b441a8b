// What an inference plan has prepared from the state follows that state: whatever changes it is seen by the
// next inference, which gives the bits of an engine that has just been made.
#include <gtest/gtest.h>

#include <cstring>

#include "support/networks.h"

namespace resnet {
namespace {

using test::Examples;

constexpr int kClasses = 10;

Network network(const Shape& images, std::uint64_t seed = 0) {
  nn::Sequential net = test::random_network(
      "d2l_resnet18", {.in_channels = images[1], .classes = kClasses, .channels = {24, 64, 40, 72}});
  if (seed != 0) nn::init(net, nn::Scheme::chapter, seed);
  return network_of(net, images);
}

void expect_same_bits(const Tensor& a, const Tensor& b, const std::string& where) {
  ASSERT_EQ(a.bytes(), b.bytes()) << where;
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0) << where;
}

bool equal(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// The logits of an engine that has this state and has never run anything.
Tensor fresh(const Engine& engine, const Tensor& x) {
  const auto other = make_native_engine(network(x.shape()), {.threads = 1});
  other->set_state(engine.state());
  return other->infer(x.view<float>());
}

class Constants : public testing::Test {
 protected:
  Constants()
      : one_(test::examples({1, 1, 48, 40}, kClasses, 1)), two_(test::examples({2, 1, 33, 41}, 10, 2)) {}

  std::unique_ptr<Engine> engine_ = make_native_engine(network({1, 1, 48, 40}), {.threads = 2});
  Examples one_, two_;
};

TEST_F(Constants, FollowAStep) {
  Tensor last = engine_->infer(one_.images.view<float>());
  for (int i = 0; i < 3; ++i) {
    engine_->step(two_.images.view<float>(), two_.labels.view<std::int32_t>(), {.lr = 0.1F});
    Tensor now = engine_->infer(one_.images.view<float>());
    EXPECT_FALSE(equal(now, last)) << "step " << i << " is not seen";
    expect_same_bits(now, fresh(*engine_, one_.images), "step " + std::to_string(i));
    last = std::move(now);
  }
}

TEST_F(Constants, OutliveAStepThatIsRefused) {
  for (const auto& of : {&two_, &one_}) {
    engine_->step(of->images.view<float>(), of->labels.view<std::int32_t>(), {.lr = 0.1F});
    for (const auto& asked : {&one_, &two_}) {
      const Tensor before = engine_->infer(asked->images.view<float>());
      EXPECT_THROW(engine_->step(of->images.view<float>(), of->labels.view<std::int32_t>(),
                                 {.lr = 0.1F, .momentum = 0.9F}),
                   ConfigError);
      expect_same_bits(engine_->infer(asked->images.view<float>()), before, "momentum of none");
    }
  }
}

TEST_F(Constants, FollowGradientsAndApply) {
  engine_->infer(one_.images.view<float>());
  for (int i = 0; i < 2; ++i) {  // the first time compiles
    engine_->gradients(two_.images.view<float>(), two_.labels.view<std::int32_t>());  // running statistics
    expect_same_bits(engine_->infer(one_.images.view<float>()), fresh(*engine_, one_.images), "gradients");
    engine_->apply({.lr = 0.1F});
    expect_same_bits(engine_->infer(one_.images.view<float>()), fresh(*engine_, one_.images), "apply");
  }
}

TEST_F(Constants, FollowSetState) {
  const Tensor before = engine_->infer(one_.images.view<float>());
  const State old = engine_->state();
  engine_->set_state(network(one_.images.shape(), 7).state);
  const Tensor after = engine_->infer(one_.images.view<float>());
  EXPECT_FALSE(equal(before, after)) << "the new state is not seen";
  expect_same_bits(after, fresh(*engine_, one_.images), "set_state");
  engine_->set_state(old);
  expect_same_bits(engine_->infer(one_.images.view<float>()), before, "the old state again");
}

TEST_F(Constants, StayWhatTheyAreBesidePlansForOtherShapes) {
  const Tensor one = engine_->infer(one_.images.view<float>()),
               two = engine_->infer(two_.images.view<float>());
  for (int i = 0; i < 3; ++i) {
    expect_same_bits(engine_->infer(one_.images.view<float>()), one, "the same again");
    expect_same_bits(engine_->infer(one_.images.view<float>()), one, "the same at once");
    expect_same_bits(engine_->infer(two_.images.view<float>()), two, "the other shape");
  }
  expect_same_bits(one, fresh(*engine_, one_.images), "an engine of its own");
  expect_same_bits(two, fresh(*engine_, two_.images), "an engine of its own");
}

TEST_F(Constants, GiveTheSameBitsForAnyNumberOfThreads) {
  for (const Examples* e : {&one_, &two_}) {
    const Tensor expected = fresh(*engine_, e->images);
    for (int threads = 1; threads <= 5; ++threads) {
      const auto engine = make_native_engine(network({1, 1, 48, 40}), {.threads = threads});
      for (int run = 0; run < 2; ++run)
        expect_same_bits(engine->infer(e->images.view<float>()), expected,
                         std::to_string(threads) + " threads");
    }
  }
}

}  // namespace
}  // namespace resnet

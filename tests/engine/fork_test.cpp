// A child of fork() has the engine of its parent, and none of its threads.
#include <gtest/gtest.h>

#include "support/in_child.h"
#include "support/networks.h"

namespace resnet {
namespace {

using test::Child;
using test::Examples;

constexpr int kClasses = 5;
const Shape kImages{4, 2, 9, 8};

Network network() {
  return network_of(
      test::initialised(nn::Sequential(nn::Conv2d{2, 8, {.padding = 1}}, nn::BatchNorm2d{8}, nn::ReLU{},
                                       nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{8, kClasses})),
      kImages);
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::ranges::equal(a.values(), b.values());
}

TEST(Fork, LeavesTheChildAnEngineThatAnswersAndLearns) {
  RESNET_SKIP_WHERE_A_CHILD_HAS_NO_THREADS();
  const Examples e = test::examples(kImages, kClasses);
  const Tensor other = random_uniform({1, 2, 7, 7}, 3);
  for (const int threads : {1, 2, 3}) {
    auto engine = make_native_engine(network(), {.threads = threads});
    const auto unused = make_native_engine(network(), {.threads = threads});
    const Tensor before = engine->infer(e.images.view<float>());
    const auto learns = [&] {
      engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0.1F});
      return engine->infer(other.view<float>());
    };
    Tensor after(Shape{1, kClasses});
    {
      auto same = make_native_engine(network(), {.threads = threads});
      same->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0.1F});
      after = same->infer(other.view<float>());
    }
    EXPECT_EQ(test::in_child([&] {
                const bool same = equal(engine->infer(e.images.view<float>()), before) &&
                                  equal(learns(), after) &&
                                  equal(unused->infer(e.images.view<float>()), before);
                engine.reset();
                return same;
              }),
              Child::held)
        << threads << " threads";
    EXPECT_TRUE(equal(learns(), after)) << "the parent's engine is its own";
  }
}

TEST(Fork, LetsTheChildEndAnEngineOfItsParent) {
  auto engine = make_native_engine(network(), {.threads = 3});
  EXPECT_EQ(test::in_child([&] {
              engine.reset();
              return true;
            }),
            Child::held);
}

}  // namespace
}  // namespace resnet

// The engine for answers: what its calls share, what each has for itself, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "engine/sessions.h"
#include "support/in_child.h"
#include "support/message_of.h"
#include "support/networks.h"

namespace resnet {
namespace {

using engine::Session;
using engine::Sessions;
using testing::HasSubstr;

constexpr int kClasses = 10;

Network small_network(const char* model = "d2l_resnet18") {
  return network_of(
      test::random_network(
          model, {.in_channels = 1, .classes = kClasses, .blocks = {1, 1, 1}, .channels = {24, 64, 72}}),
      {1, 1, 40, 33});
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// Pictures of several shapes, which take turns.
std::vector<Tensor> pictures() {
  std::vector<Tensor> result;
  for (const Shape& shape :
       {Shape{1, 1, 40, 33}, Shape{3, 1, 40, 33}, Shape{1, 1, 33, 48}, Shape{2, 1, 24, 24}})
    result.push_back(random_uniform(shape, result.size()));
  return result;
}

TEST(Inference, HasTheBitsOfTheNativeEngineForEveryShapeInTurn) {
  for (const char* model : {"d2l_resnet18", "resnet18"}) {
    for (const int threads : {1, 2}) {
      const auto native = make_native_engine(small_network(model), {.threads = 1});
      const auto engine = make_inference_engine(small_network(model), {.threads = threads});
      for (int round = 0; round < 2; ++round) {
        for (const Tensor& x : pictures()) {
          EXPECT_TRUE(same_bits(engine->infer(x.view<float>()), native->infer(x.view<float>())))
              << model << to_string(x.shape()) << ", " << threads << " threads";
        }
      }
    }
  }
}

TEST(Inference, OfManyThreadsAtOnceIsThatOfOne) {
  const std::vector<Tensor> x = pictures();
  std::vector<Tensor> expected;
  for (const Tensor& images : x)
    expected.push_back(make_native_engine(small_network())->infer(images.view<float>()));
  for (const int threads : {1, 2}) {
    const auto engine = make_inference_engine(small_network(), {.threads = threads});
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (std::size_t caller = 0; caller < 6; ++caller) {
      callers.emplace_back([&, caller] {
        for (std::size_t i = 0; i < 24; ++i) {
          const std::size_t at = (caller + i) % x.size();
          if (!same_bits(engine->infer(x[at].view<float>()), expected[at])) ++wrong;
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(wrong, 0) << "of 144, " << threads << " threads a call";
  }
}

// What is prepared of the weights is most of what a shape adds, and batches of other sizes have the same.
TEST(Inference, KeepsWhatIsPreparedOnceForAllBatchSizesForWhichItIsTheSame) {
  const auto engine = make_inference_engine(small_network(), {.threads = 1});
  const Tensor one = random_uniform({16, 1, 40, 33}), two = random_uniform({15, 1, 40, 33});
  const std::int64_t prepared = engine->planned_bytes(one.shape(), Work::infer).work;
  engine->infer(one.view<float>());
  const std::int64_t before = engine->arena_bytes();
  const Tensor first = engine->infer(two.view<float>());
  EXPECT_LT(engine->arena_bytes() - before, prepared / 50);
  engine->infer(one.view<float>());
  EXPECT_TRUE(same_bits(engine->infer(two.view<float>()), first));
}

TEST(Inference, ForgetsTheShapesThatWereUsedLongAgoAndAnswersThemAgain) {
  const auto engine = make_inference_engine(small_network(), {.threads = 1});
  const Tensor x = random_uniform({1, 1, 20, 20});
  const Tensor expected = engine->infer(x.view<float>());
  for (std::int64_t height = 21; height < 40; ++height)
    engine->infer(random_uniform({1, 1, height, 20}).view<float>());
  EXPECT_TRUE(same_bits(engine->infer(x.view<float>()), expected));
}

TEST(Inference, RefusesWhatTrainsOrChangesItAndStaysAsItWas) {
  const auto engine = make_inference_engine(small_network(), {.threads = 1});
  const test::Examples e = test::examples({2, 1, 40, 33}, kClasses);
  const Tensor before = engine->infer(e.images.view<float>());
  EXPECT_THAT(test::message_of<ConfigError>(
                  [&] { engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0.1F}); }),
              HasSubstr("step(): this network cannot be trained"));
  EXPECT_THROW(engine->set_state(engine->state()), ConfigError);
  EXPECT_THROW(engine->apply({}), ConfigError);
  EXPECT_THROW(engine->infer(random_uniform({1, 3, 40, 33}).view<float>()), ShapeError);
  EXPECT_TRUE(same_bits(engine->infer(e.images.view<float>()), before));
}

TEST(Inference, WithTooLittleMemoryIsRefusedAndGoesOn) {
  const auto engine = make_inference_engine(small_network(), {.threads = 1});
  const Tensor x = random_uniform({1, 1, 40, 33});
  const Tensor before = engine->infer(x.view<float>());
  const float one = 0;
  EXPECT_THROW(engine->infer({&one, Shape{std::int64_t{1} << 24, 1, 40, 33}}), MemoryError);
  EXPECT_TRUE(same_bits(engine->infer(x.view<float>()), before));
}

class SessionsTest : public testing::Test {
 protected:
  std::unique_ptr<Session> make() { return std::make_unique<Session>(1, state_); }
  Sessions::Lease lease() {
    return sessions_.lease([this] { return make(); });
  }

  exec::Arena state_{1};
  Sessions sessions_{2};
};

TEST_F(SessionsTest, LendsAsManyAsItHasAndTheSameOnesAgain) {
  {
    const Sessions::Lease one = lease(), two = lease();
    EXPECT_NE(&*one, &*two);
  }
  const Sessions::Lease again = lease();
  EXPECT_EQ(sessions_.made(), 2);
}

TEST_F(SessionsTest, LetsOthersWaitUntilOneComesBack) {
  std::atomic<bool> got{false};
  std::thread third;
  {
    const Sessions::Lease one = lease();
    {
      const Sessions::Lease two = lease();
      third = std::thread([&] {
        const Sessions::Lease three = lease();
        got = true;
      });
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      EXPECT_FALSE(got) << "three at a time";
    }
    third.join();
  }
  EXPECT_TRUE(got);
  EXPECT_EQ(sessions_.made(), 2);
}

TEST_F(SessionsTest, OfWhichNoneCouldBeMadeAreFree) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(
        static_cast<void>(sessions_.lease([]() -> std::unique_ptr<Session> { throw IoError("none"); })),
        IoError);
  }
  const Sessions::Lease one = lease(), two = lease();
}

TEST_F(SessionsTest, InAChildAreThoseThatNoThreadOfTheParentHad) {
  const Sessions::Lease one = lease();
  EXPECT_EQ(test::in_child([&] {
              const Sessions::Lease two = lease();
              return &*two != &*one;
            }),
            test::Child::held);
  const Sessions::Lease two = lease();
  EXPECT_EQ(test::in_child([&] {
              return test::message_of<Error>([&] {
                       static_cast<void>(lease());
                     }).find("when the process was forked") != std::string::npos;
            }),
            test::Child::held);
}

}  // namespace
}  // namespace resnet

// An engine, or a Forward, that several threads use: what only reads gives each the answers that one thread
// alone gets; of two that change it one is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <thread>

#include "engine/checks.h"
#include "support/networks.h"

namespace resnet {
namespace {

using test::Examples;
using testing::HasSubstr;

constexpr int kCallers = 4;
constexpr int kClasses = 5;

nn::Sequential network() {
  return test::initialised(nn::Sequential(nn::Conv2d{2, 8, {.padding = 1}}, nn::BatchNorm2d{8}, nn::ReLU{},
                                          nn::Conv2d{8, 8, {.padding = 1}}, nn::GlobalAvgPool2d{},
                                          nn::Flatten{}, nn::Linear{8, kClasses}));
}

// Pictures of two shapes, so that callers make and change plans beside each other.
std::vector<Tensor> pictures() {
  std::vector<Tensor> result;
  for (std::uint64_t i = 0; i < 6; ++i) {
    const std::int64_t height = 9 + 3 * static_cast<std::int64_t>(i % 2);
    result.push_back(random_uniform({1 + static_cast<std::int64_t>(i % 3), 2, height, 8}, i));
  }
  return result;
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::ranges::equal(a.values(), b.values());
}

// Several threads begin together and run body(caller).
void together(const std::function<void(int)>& body) {
  std::latch begin(kCallers);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      begin.arrive_and_wait();
      body(caller);
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// The number of answers to several threads that are not those to one.
int wrong_answers(const std::function<Tensor(const Tensor&)>& answer) {
  const std::vector<Tensor> given = pictures();
  std::vector<Tensor> expected;
  for (const Tensor& picture : given) expected.push_back(answer(picture));
  std::atomic<int> wrong{0};
  together([&](int caller) {
    for (std::size_t i = 0; i < 60; ++i) {
      const std::size_t at = (i + static_cast<std::size_t>(caller)) % given.size();
      if (!equal(answer(given[at]), expected[at])) ++wrong;
    }
  });
  return wrong;
}

TEST(Threads, InferAtOnceAsOneAfterTheOther) {
  const Network net = network_of(network(), {1, 2, 9, 8});
  for (const int threads : {1, 2}) {
    const auto engine = make_native_engine(net, {.threads = threads});
    EXPECT_EQ(wrong_answers([&](const Tensor& x) { return engine->infer(x.view<float>()); }), 0)
        << threads << " threads of the engine";
  }
  const auto reference = make_reference_engine(net);
  EXPECT_EQ(wrong_answers([&](const Tensor& x) { return reference->infer(x.view<float>()); }), 0);
}

TEST(Threads, CallOneForwardAtOnceAsOneAfterTheOther) {
  nn::Sequential net = network();
  for (const int threads : {1, 2}) {
    Forward f(net, Mode::eval, {.threads = threads});
    EXPECT_EQ(wrong_answers([&](const Tensor& x) { return f(x); }), 0) << threads << " threads of the engine";
  }
}

TEST(Threads, OfAModuleEachHaveAForwardOfTheirOwn) {
  nn::Sequential net = network();
  EXPECT_EQ(wrong_answers([&](const Tensor& x) { return forward(net, x); }), 0);
}

// A reader sees the state before or after a change, never one that is half done.
TEST(Threads, SeeWholeStates) {
  const auto engine = make_native_engine(network_of(network(), {1, 2, 9, 8}), {.threads = 2});
  const Tensor x = random_uniform({1, 2, 9, 8}, 1);
  State one = engine->state(), two = engine->state();
  for (auto& [name, value] : two) {
    if (value.dtype() != DType::f32) continue;
    for (float& v : value.values()) v *= 1.5F;
  }
  engine->set_state(two);
  const Tensor of_two = engine->infer(x.view<float>());
  engine->set_state(one);
  const Tensor of_one = engine->infer(x.view<float>());
  ASSERT_FALSE(equal(of_one, of_two));
  std::atomic<int> wrong{0};
  together([&](int caller) {
    for (int i = 0; i < 60; ++i) {
      if (caller == 0) {
        engine->set_state(i % 2 == 0 ? two : one);
      } else if (const Tensor y = engine->infer(x.view<float>()); !equal(y, of_one) && !equal(y, of_two)) {
        ++wrong;
      }
    }
  });
  EXPECT_EQ(wrong, 0);
}

// Every call that changes the state either does so wholly or throws.
void expect_one_at_a_time(Engine& engine, const std::string& name, const std::function<void()>& change) {
  std::atomic<int> done{0}, refused{0};
  const auto updates = [&] {
    const State state = engine.state(StateScope::all);
    const auto found = std::ranges::find(state, engine::kUpdates, &State::value_type::first);
    return static_cast<int>(found->second.view<std::int64_t>()[0]);
  };
  const int before = updates();
  for (int round = 0; round < 100 && refused == 0; ++round) {
    together([&](int) {
      for (int i = 0; i < 20; ++i) {
        try {
          change();
          ++done;
        } catch (const Error& error) {
          EXPECT_THAT(error.what(), HasSubstr(name + ": another thread"));
          EXPECT_THAT(error.hint(), HasSubstr("one thread at a time"));
          ++refused;
        }
      }
    });
  }
  EXPECT_GT(refused, 0) << "none was ever at once";
  EXPECT_EQ(updates() - before, done) << name;
}

TEST(Threads, StepOneAtATimeOrLearnOfIt) {
  const Network net = network_of(network(), {4, 2, 9, 8});
  const Examples e = test::examples({4, 2, 9, 8}, kClasses);
  for (const int threads : {1, 2}) {
    const auto engine = make_native_engine(net, {.threads = threads});
    expect_one_at_a_time(*engine, "step()", [&] {
      engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0.01F});
    });
  }
  const auto reference = make_reference_engine(net);
  expect_one_at_a_time(*reference, "step()", [&] {
    reference->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0.01F});
  });
}

}  // namespace
}  // namespace resnet

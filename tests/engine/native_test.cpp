// The native engine: equal bits for any number of threads, no allocation in a step, fusion that
// changes nothing, state in and out.
#include <gtest/gtest.h>

#include <cstring>

#include "base/machine.h"
#include "engine/allocations.h"
#include "support/networks.h"

namespace resnet {
namespace {

using test::Examples;

Network chapter_network(const Shape& images) {
  const nn::Sequential net = test::random_network("d2l_resnet18", {.in_channels = images[1], .classes = 10});
  return network_of(net, images);
}

StepResult step(Engine& engine, const Examples& e, float lr) {
  return engine.step(e.images.view<float>(), e.labels.view<std::int32_t>(), {lr});
}

void expect_same_bits(const State& a, const State& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].second.bytes(), b[i].second.bytes());
    EXPECT_EQ(std::memcmp(a[i].second.raw(), b[i].second.raw(), a[i].second.bytes()), 0) << a[i].first;
  }
}

TEST(NativeEngine, GivesTheSameBitsForOneToFourThreads) {
  const Shape shape{5, 1, 33, 41};
  State expected;
  for (int threads = 1; threads <= 4; ++threads) {
    const auto engine = make_native_engine(chapter_network(shape), {.threads = threads});
    for (std::uint64_t i = 0; i < 3; ++i) step(*engine, test::examples(shape, 10, i), 0.05F);
    if (threads == 1) {
      expected = engine->state();
    } else {
      expect_same_bits(engine->state(), expected);
    }
  }
}

TEST(NativeEngine, AllocatesNothingInTenSteps) {
  const Shape shape{4, 1, 32, 32};
  const auto engine = make_native_engine(chapter_network(shape), {.threads = 2});
  const Examples e = test::examples(shape, 10);
  step(*engine, e, 0.01F);  // compiles
  const std::int64_t before = test::allocations();
  for (int i = 0; i < 10; ++i) step(*engine, e, 0.01F);
  EXPECT_EQ(test::allocations() - before, 0);
}

TEST(NativeEngine, DrawsDropoutsNumbersFromSeedAndStepInEveryMode) {
  nn::Sequential net(nn::Flatten{}, nn::Dropout{0.5});
  const Tensor x = random_uniform({3, 2, 5, 7}, 4);
  const Tensor first = forward(net, x, Mode::train), again = forward(net, x, Mode::train);
  for (std::size_t i = 0; i < x.values().size(); ++i) ASSERT_EQ(first.values()[i], again.values()[i]) << i;
  const Network network{nn::trace(net, x.shape(), Mode::train), std::nullopt, {}};
  const Tensor reference = make_reference_engine(network)->infer(x.view<float>());
  for (std::size_t i = 0; i < x.values().size(); ++i)
    ASSERT_EQ(first.values()[i], reference.values()[i]) << i;
}

TEST(NativeEngine, RunsOnWhenTheMemoryForABatchWasNotThere) {
  nn::Sequential own(nn::Conv2d{1, 2, {.bias = false}}, nn::GlobalAvgPool2d{}, nn::Flatten{});
  nn::init(own, nn::Scheme::chapter, 1);
  const auto engine = make_native_engine(network_of(own, {2, 1, 8, 8}), {.threads = 2});
  const Tensor x = random_uniform({2, 1, 8, 8}, 4);
  const Tensor before = engine->infer(x.view<float>());
  const float one = 0;  // never read: the memory fails first
  EXPECT_THROW(engine->infer({&one, Shape{std::int64_t{1} << 30, 1, 8, 8}}), MemoryError);
  const Tensor after = engine->infer(x.view<float>());
  for (std::size_t i = 0; i < before.values().size(); ++i) EXPECT_EQ(before.values()[i], after.values()[i]);
}

TEST(NativeEngine, CountsAllocationsAtAll) {
  const std::int64_t before = test::allocations();
  const auto p = std::make_unique<int>(1);
  EXPECT_GT(test::allocations(), before) << *p;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const std::int64_t between = test::allocations();
  const AlignedBuffer buffer(64);
  EXPECT_GT(test::allocations(), between) << buffer.size();
#endif
}

TEST(NativeEngine, FusionChangesNoGradientBeyondRounding) {
  const Shape shape{3, 2, 37, 32};
  const Network network = chapter_network(shape);
  const Examples e = test::examples(shape, 10);
  const auto fused = make_native_engine(network, {.threads = 2});
  const auto plain = make_native_engine(network, {.threads = 2, .fuse = false});
  const StepResult a = fused->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  const StepResult b = plain->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  EXPECT_NEAR(a.loss_sum, b.loss_sum, 1e-5 * b.loss_sum);
  test::expect_states_near(fused->gradient_values(), plain->gradient_values(), 1e-4);
  EXPECT_NE(fused->plan_text(shape, Mode::train), plain->plan_text(shape, Mode::train));
}

TEST(NativeEngine, GradientsAndApplyAreAStep) {
  const Shape shape{4, 1, 32, 32};
  const Network network = chapter_network(shape);
  const Examples e = test::examples(shape, 10);
  const auto whole = make_native_engine(network, {.threads = 2});
  const auto parts = make_native_engine(network, {.threads = 2});
  step(*whole, e, 0.05F);
  parts->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  parts->apply({0.05F});
  expect_same_bits(parts->state(), whole->state());
}

TEST(NativeEngine, StateGoesOutAndInUnchanged) {
  const Shape shape{4, 1, 32, 32};
  const auto engine = make_native_engine(chapter_network(shape), {.threads = 1});
  step(*engine, test::examples(shape, 10), 0.05F);
  const State state = engine->state();
  const auto other = make_native_engine(chapter_network(shape), {.threads = 1});
  other->set_state(state);
  expect_same_bits(other->state(), state);
  for (const auto& [name, tensor] : state) {
    if (name.ends_with("num_batches_tracked")) {
      EXPECT_EQ(tensor.view<std::int64_t>()[0], 1) << name;
    }
  }
}

TEST(NativeEngine, ABiasBeforeABatchNormHasGradientZeroExactly) {
  const Shape shape{4, 1, 32, 32};
  const auto engine = make_native_engine(chapter_network(shape), {.threads = 2});
  const Examples e = test::examples(shape, 10);
  engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  int zeros = 0;
  int shortcuts = 0;
  for (const auto& [name, gradient] : engine->gradient_values()) {
    const bool normed = name.ends_with("conv1.bias") || name.ends_with("conv2.bias") || name == "0.0.bias";
    double largest = 0;
    for (const float v : gradient.values()) largest = std::max(largest, std::abs(static_cast<double>(v)));
    if (normed) {
      EXPECT_EQ(largest, 0) << name;
      ++zeros;
    } else {
      EXPECT_GT(largest, 0) << name;
      shortcuts += name.ends_with("conv3.bias") ? 1 : 0;
    }
  }
  EXPECT_EQ(zeros, 17);
  EXPECT_EQ(shortcuts, 3);
}

TEST(NativeEngine, Bf16GivesTheSameBitsForAnyNumberOfThreads) {
  if (best_isa() < Isa::avx512_bf16) GTEST_SKIP() << "this processor has no avx512_bf16";
  const Shape shape{6, 1, 32, 32};
  const Examples e = test::examples(shape, 10);
  const auto after = [&](const EngineOptions& options) {
    const auto engine = make_native_engine(chapter_network(shape), options);
    for (int i = 0; i < 3; ++i) step(*engine, e, 0.05F);
    return engine->state();
  };
  const State one = after({.threads = 1, .precision = Precision::bf16});
  for (int threads = 2; threads <= 8; threads += threads == 4 ? 4 : 1) {
    expect_same_bits(after({.threads = threads, .precision = Precision::bf16}), one);
  }
}

TEST(NativeEngine, Bf16IsWhatF32IsButForItsRounding) {
  if (best_isa() < Isa::avx512_bf16) GTEST_SKIP() << "this processor has no avx512_bf16";
  const Shape shape{6, 1, 32, 32};
  const Examples e = test::examples(shape, 10);
  const auto logits = [&](Precision precision, bool fuse) {
    const auto engine = make_native_engine(chapter_network(shape), {.precision = precision, .fuse = fuse});
    for (int i = 0; i < 2; ++i) step(*engine, e, 0);  // so that evaluation has statistics
    return engine->infer(e.images.view<float>());
  };
  const Tensor exact = logits(Precision::f32, true);
  for (const bool fuse : {true, false}) {
    const Tensor half = logits(Precision::bf16, fuse);
    const double difference = test::distance(exact, half);
    EXPECT_GT(difference, 0) << "bf16 was not used";
    // Twenty layers of numbers that are off by 2^-9 each on average, those of Winograd by some more.
    EXPECT_LT(difference / test::norm(exact), 20 * 0x1p-9 * 2) << (fuse ? "fused" : "not fused");
  }
}

// Two blocks: deep networks that are not trained amplify any rounding to the size of their gradients.
TEST(NativeEngine, Bf16GradientsAreThoseOfF32ButForTheirRounding) {
  if (best_isa() < Isa::avx512_bf16) GTEST_SKIP() << "this processor has no avx512_bf16";
  const Shape shape{16, 1, 32, 32};
  const nn::Sequential net = test::random_network(
      "d2l_resnet18", {.in_channels = 1, .classes = 10, .blocks = {1, 1}, .channels = {32, 48}});
  const Examples e = test::examples(shape, 10);
  const auto gradients = [&](Precision precision, bool fuse) {
    const auto engine = make_native_engine(network_of(net, shape), {.precision = precision, .fuse = fuse});
    engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
    return engine->gradient_values();
  };
  const State exact = gradients(Precision::f32, true);
  for (const bool fuse : {true, false}) {
    const State half = gradients(Precision::bf16, fuse);
    for (std::size_t k = 0; k < exact.size(); ++k) {
      EXPECT_LE(test::distance(exact[k].second, half[k].second), 0.2 * test::norm(exact[k].second))
          << exact[k].first << (fuse ? "" : ", not fused");
    }
  }
}

TEST(NativeEngine, Bf16IsRefusedWithoutItsInstructions) {
  const Shape shape{4, 1, 32, 32};
  try {
    make_native_engine(chapter_network(shape), {.isa = "avx2", .precision = Precision::bf16});
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("avx512_bf16"), std::string::npos) << error.what();
  }
}

TEST(NativeEngine, RefusesWhatDoesNotFit) {
  const Shape shape{4, 1, 32, 32};
  const auto engine = make_native_engine(chapter_network(shape), {.threads = 1});
  Examples e = test::examples(shape, 10);
  e.labels.view<std::int32_t>()[2] = 10;
  EXPECT_THROW(step(*engine, e, 0.05F), ShapeError);
  const Examples other = test::examples({4, 3, 32, 32}, 10);
  EXPECT_THROW(engine->infer(other.images.view<float>()), ShapeError);
  const Examples single = test::examples({1, 1, 32, 32}, 10);  // one value per channel in the last stage
  EXPECT_THROW(step(*engine, single, 0.05F), ShapeError);
  EXPECT_THROW(make_native_engine(chapter_network(shape), {.isa = "mmx"}), ConfigError);
  EXPECT_THROW(make_native_engine(chapter_network(shape), {.threads = -1}), ConfigError);
}

TEST(NativeEngine, GoesOnWithLessWhereWhatWasAskedForIsTooMuch) {
  nn::Sequential own(nn::Conv2d{1, 2, {.bias = false}}, nn::GlobalAvgPool2d{}, nn::Flatten{});
  nn::init(own, nn::Scheme::chapter, 1);
  const Network network = network_of(own, {2, 1, 8, 8});
  const Shape huge{std::int64_t{1} << 30, 1, 8, 8};
  const Tensor x = random_uniform({2, 1, 8, 8}, 4);
  const auto engine = make_native_engine(network, {.threads = 2});
  EXPECT_GT(engine->planned_bytes(huge, Work::infer).total(), std::int64_t{1} << 36);
  EXPECT_NO_THROW(engine->infer(x.view<float>()));
  const auto answers = make_inference_engine(network, {.threads = 1});
  const std::int64_t before = answers->planned_bytes(x.shape(), Work::infer).total();
  answers->planned_bytes(huge, Work::infer);
  EXPECT_EQ(answers->planned_bytes(x.shape(), Work::infer).total(), before);
}

TEST(NativeEngine, AsksForItsStateToo) {
  nn::Sequential net(nn::Flatten{}, nn::Linear{1 << 12, 1 << 11});  // 32 MiB
  nn::init(net, nn::Scheme::chapter, 1);
  const Network network = network_of(net, {1, 1, 64, 64});
  EXPECT_THROW(make_native_engine(network, {.threads = 1, .memory = 1}), MemoryError);
  EXPECT_THROW(make_inference_engine(network, {.threads = 1, .memory = 1}), MemoryError);
}

}  // namespace
}  // namespace resnet

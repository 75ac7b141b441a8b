#include "bench/bench.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <numeric>
#include <vector>

#include "base/machine.h"
#include "bench/check.h"
#include "support/networks.h"

namespace resnet::bench {
namespace {

const Shape kImages{4, 1, 8, 8};
constexpr std::int64_t kClasses = 3;
constexpr std::uint64_t kDropSeed = 7;  // its first step drops other examples than that of seed 0

nn::Sequential tiny_network() {
  nn::Sequential net(nn::Conv2d{1, 8, {.kernel = 3, .padding = 1}}, nn::ReLU{}, nn::GlobalAvgPool2d{},
                     nn::Flatten{}, nn::Linear{8, kClasses});
  nn::init(net, net.scheme(), 1);
  return net;
}

// Multiplications and additions of an example: 64 pixels of 8 sums of 9 products, then 3 sums of 8.
constexpr double kConvFlops = 2.0 * 64 * 8 * 9;
constexpr double kLinearFlops = 2.0 * 8 * kClasses;

TEST(Peak, IsPositiveOnEveryInstructionSet) {
  EXPECT_GT(peak_gflops(1, "", Precision::f32), 0);
  EXPECT_GT(peak_gflops(1, "avx2", Precision::f32), 0);
  EXPECT_GT(peak_gflops(1, "avx512_bf16", Precision::f32), 0);  // or what this machine has instead
}

TEST(TimeSteps, GivesFiguresThatFitEachOther) {
  const StepBench figures = time_steps(tiny_network(), kImages, kClasses, 5, Work::train, {.threads = 1});
  EXPECT_GT(figures.min_ms, 0);
  EXPECT_LE(figures.min_ms, figures.median_ms);
  EXPECT_LE(figures.median_ms, figures.max_ms);
  EXPECT_DOUBLE_EQ(figures.examples_per_second, 4 / figures.median_ms * 1e3);
  EXPECT_EQ(figures.step_ms, figures.median_ms);
  EXPECT_EQ(figures.timed, "one by one");
  EXPECT_GT(figures.peak_gflops, 0);
  EXPECT_DOUBLE_EQ(figures.direct_limit_examples_per_second,
                   figures.peak_gflops * 1e9 / figures.direct_flops);
  EXPECT_DOUBLE_EQ(figures.fraction_of_direct_limit,
                   figures.examples_per_second / figures.direct_limit_examples_per_second);
  EXPECT_GT(figures.fraction_of_direct_limit, 0);
  EXPECT_LT(figures.fraction_of_direct_limit, 2);
  EXPECT_GT(figures.arena_bytes, 0);
  EXPECT_GT(figures.peak_rss_bytes, figures.arena_bytes);
  EXPECT_EQ(figures.device.threads, 1);
  EXPECT_EQ(figures.device.target, name_of(best_isa()));
}

TEST(TimeSteps, CountsTheWorkOfAStepAndOfAnEvaluation) {
  const nn::Sequential net = tiny_network();
  EXPECT_EQ(time_steps(net, kImages, kClasses, 1, Work::infer, {.threads = 1}).direct_flops,
            kConvFlops + kLinearFlops);
  EXPECT_EQ(time_steps(net, kImages, kClasses, 1, Work::train, {.threads = 1}).direct_flops,
            2 * kConvFlops + 3 * kLinearFlops)
      << "the images need no gradient";
}

TEST(TimeLayers, TimesEveryCallOfAStep) {
  const LayerBench figures = time_layers(tiny_network(), kImages, kClasses, 2, {.threads = 1});
  ASSERT_FALSE(figures.calls.empty());
  double flops = 0;
  for (const CallTime& call : figures.calls) {
    EXPECT_GT(call.seconds, 0) << call.kernel;
    flops += call.flops;
  }
  EXPECT_GE(flops, 4 * (2 * kConvFlops + 3 * kLinearFlops));
  EXPECT_GT(figures.peak_gflops, 0);
  EXPECT_GT(figures.memory_gbytes, 0);
}

// What branches end with, and nothing else: their last norm, or convolution where norms come first.
TEST(QuietBranches, AreATenthOfThemselves) {
  for (const auto& [model, end] : {std::pair("resnet18", "bn2.weight"), std::pair("resnet50", "bn3.weight"),
                                   std::pair("resnetv2_18", "conv2.weight")}) {
    const nn::Sequential net =
        test::random_network(model, {.classes = kClasses, .blocks = {2, 1}, .channels = {8, 16}});
    const Network loud = network_of(net, {2, 3, 32, 32});
    Network quiet = loud;
    quiet_branches(net, quiet);
    std::int64_t ends = 0;
    for (std::size_t k = 0; k < loud.state.size(); ++k) {
      const auto& [name, tensor] = loud.state[k];
      const auto& now = quiet.state[k].second;
      const bool is_end = name.ends_with(std::string(".") + end);
      ends += is_end ? 1 : 0;
      if (tensor.dtype() != DType::f32) continue;
      for (std::size_t i = 0; i < tensor.values().size(); ++i)
        ASSERT_EQ(now.values()[i], tensor.values()[i] * (is_end ? 0.1F : 1.0F)) << model << ' ' << name;
    }
    EXPECT_EQ(ends, 3) << model;
  }
}

class CheckTest : public testing::TestWithParam<Work> {};

TEST_P(CheckTest, PassesForTheEngine) {
  const nn::Sequential net = test::random_network(
      "resnet18", {.in_channels = 1, .classes = kClasses, .blocks = {1, 1}, .channels = {8, 16}});
  const Check check = check_against_reference(net, {4, 1, 32, 32}, kClasses, GetParam(), {.threads = 2});
  EXPECT_TRUE(check.passed()) << check.difference << " of " << check.tolerance;
  EXPECT_GT(check.difference, 0) << "something was compared";
}

// The oracle drops the blocks that the engine drops; with another seed it would be off by a whole branch.
TEST_P(CheckTest, PassesForStochasticDepth) {
  const Shape images{4, 1, 32, 32};
  const nn::Sequential net = test::random_network(
      "resnet18",
      {.in_channels = 1, .classes = kClasses, .blocks = {1, 1}, .channels = {8, 16}, .drop_path = 0.3});
  const Check check =
      check_against_reference(net, images, kClasses, GetParam(), {.threads = 2, .seed = kDropSeed});
  EXPECT_TRUE(check.passed()) << check.difference << " of " << check.tolerance;
  if (GetParam() == Work::infer) return;
  const Network network = network_of(net, images);
  const auto engine = make_native_engine(network, {.seed = kDropSeed});
  EXPECT_FALSE(
      check_against_reference(*engine, network, images, kClasses, Work::train, Precision::f32, 0).passed());
}

TEST_P(CheckTest, FailsWhenWeightsAreDisturbed) {
  const Shape images{4, 1, 32, 32};
  const nn::Sequential net = test::random_network(
      "resnet18", {.in_channels = 1, .classes = kClasses, .blocks = {1, 1}, .channels = {8, 16}});
  const Network network = network_of(net, images);
  const auto engine = make_native_engine(network, {.threads = 2});
  EXPECT_TRUE(
      check_against_reference(*engine, network, images, kClasses, GetParam(), Precision::f32).passed());
  for (const auto& [name, tensor] : network.state) {
    if (name != "layer2.0.conv1.weight") continue;
    Tensor disturbed = tensor;
    for (float& value : disturbed.values()) value *= 1.5F;
    disturbed.values()[0] += 1;
    engine->set_state({{name, disturbed}});
  }
  const Check check = check_against_reference(*engine, network, images, kClasses, GetParam(), Precision::f32);
  EXPECT_FALSE(check.passed()) << check.difference << " of " << check.tolerance;
}

// A thousandth of half the weights of any layer: what comes behind tells, by more than rounding does.
TEST_P(CheckTest, FindsASmallErrorInAnyLayer) {
  const Shape images{4, 1, 32, 32};
  const nn::Sequential net = test::random_network(
      "resnet18", {.in_channels = 1, .classes = kClasses, .blocks = {1, 1}, .channels = {8, 16}});
  const Network network = network_of(net, images);
  for (const auto& [name, tensor] : network.state) {
    if (!name.ends_with("weight") || tensor.shape().rank() == 1) continue;
    const auto engine = make_native_engine(network, {.threads = 1});
    Tensor disturbed = tensor;
    for (std::size_t i = 0; i < disturbed.values().size(); i += 2) disturbed.values()[i] *= 1.001F;
    engine->set_state({{name, disturbed}});
    const Check check =
        check_against_reference(*engine, network, images, kClasses, GetParam(), Precision::f32);
    EXPECT_FALSE(check.passed()) << name << ": " << check.tensor << " is off by " << check.difference
                                 << ", allowed " << check.tolerance;
  }
}

INSTANTIATE_TEST_SUITE_P(, CheckTest, testing::Values(Work::train, Work::infer),
                         [](const auto& work) { return work.param == Work::train ? "Train" : "Infer"; });

// Counts how often each image was read.
class CountingSource final : public data::Dataset::Source {
 public:
  explicit CountingSource(std::int64_t size) : reads_(static_cast<std::size_t>(size)) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(reads_.size()); }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i % kClasses); }
  void image(std::int64_t i, data::Image& out) const override {
    ++reads_[static_cast<std::size_t>(i)];
    out.height = out.width = 8;
    out.channels = 1;
    out.pixels.assign(64, static_cast<std::uint8_t>(i));
  }
  bool all_read_at_least(int times) const {
    return std::all_of(reads_.begin(), reads_.end(), [=](const auto& count) { return count >= times; });
  }
  int reads() const { return std::accumulate(reads_.begin(), reads_.end(), 0); }

 private:
  mutable std::vector<std::atomic<int>> reads_;
};

TEST(TimeLoader, CountsWhatIsDeliveredInTheTimeBehindAnEpochThatDoesNotCount) {
  constexpr double kSeconds = 0.2;
  const auto source = std::make_shared<CountingSource>(37);
  const data::Dataset dataset(source, "counted", {"a", "b", "c"}, {}, Shape{1, 8, 8});
  const auto begin = std::chrono::steady_clock::now();
  const LoaderBench figures = time_loader(dataset, {.batch_size = 8, .threads = 2}, kSeconds);
  const double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_TRUE(source->all_read_at_least(5)) << "by its parts, and in two epochs with a thread, and with two";
  ASSERT_EQ(figures.loaders.size(), 2U);
  EXPECT_EQ(figures.loaders[1].threads, 2);
  double delivered = 0;
  for (const auto& loader : figures.loaders) {
    EXPECT_GE(loader.examples_per_second, 37 / taken) << "an epoch in no more than the whole call";
    delivered += loader.examples_per_second * kSeconds;
  }
  EXPECT_LE(delivered, static_cast<double>(source->reads())) << "no more than was made";
  EXPECT_GT(figures.decode_us, 0);
  EXPECT_GT(figures.copy_us, 0);
  EXPECT_LE(37 * (figures.decode_us + figures.transform_us + figures.copy_us), taken * 1e6);
}

TEST(TimeLoader, ReadsNothingThatACacheHas) {
  const auto source = std::make_shared<CountingSource>(37);
  const data::Dataset dataset(source, "counted", {"a", "b", "c"}, {}, Shape{1, 8, 8});
  time_loader(data::cached(dataset, {data::CacheKind::memory}), {.batch_size = 8, .threads = 2}, 0.05);
  EXPECT_EQ(source->reads(), 37);
}

}  // namespace
}  // namespace resnet::bench

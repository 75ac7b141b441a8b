// One launch updates all parameters, with the bits of one launch for each.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>

#include "device/kernels.h"
#include "emulator/emulator.h"
#include "engine/gpu.h"
#include "io/model_hash.h"
#include "support/oracle.h"

namespace resnet {
namespace {

using device::KernelId;

std::map<KernelId, int>& launches() {
  static std::map<KernelId, int> counts;
  return counts;
}

// The emulator, which counts the launches that are asked for.
const resnet_device_api& counting() {
  static const resnet_device_api kApi = [] {
    resnet_device_api api = emulator::api();
    api.launch = [](resnet_stream* stream, const resnet_launch* launch) {
      ++launches()[static_cast<KernelId>(launch->kernel)];
      return emulator::api().launch(stream, launch);
    };
    return api;
  }();
  return kApi;
}

Network network_of_width(std::int64_t channels, const Shape& images) {
  return network_of(
      test::random_network(
          "d2l_resnet18",
          {.in_channels = 1, .classes = 3, .blocks = {1}, .channels = {channels}, .stem_channels = channels}),
      images);
}

TEST(Updates, AreOneLaunchWithTheBitsOfMany) {
  const Shape images{2, 1, 9, 8};
  const Network network = network_of_width(8, images);
  const test::Examples e = test::examples(images, 3);
  for (const OptimizerOptions& optimizer : {OptimizerOptions{.method = SgdOptions{.momentum = 0.9}},
                                            OptimizerOptions{.method = AdamWOptions{}}}) {
    const bool sgd = std::holds_alternative<SgdOptions>(optimizer.method);
    const EngineOptions options{.optimizer = optimizer};
    const auto whole = engine::make_gpu_engine(network, options, counting(), 0),
               apart = engine::make_gpu_engine(network, options, counting(), 0);
    launches().clear();
    whole->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.05F});
    EXPECT_EQ(launches()[sgd ? KernelId::sgd_all : KernelId::adamw_all], 1);
    EXPECT_EQ(launches()[sgd ? KernelId::sgd : KernelId::adamw], 0);
    apart->find_nonfinite(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.05F});  // call by call
    EXPECT_GT(launches()[sgd ? KernelId::sgd : KernelId::adamw], 5);
    const State a = whole->state(StateScope::all), b = apart->state(StateScope::all);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
      if (a[i].second.dtype() == DType::f32)
        EXPECT_EQ(std::memcmp(a[i].second.raw(), b[i].second.raw(), a[i].second.bytes()), 0) << a[i].first;
  }
}

// The average is one launch too, is what a processor has of the same states, and is shown on the device.
TEST(Updates, OfTheAverageAreOneLaunch) {
  const Shape images{2, 1, 9, 8};
  const Network network = network_of_width(8, images);
  const test::Examples e = test::examples(images, 3);
  const EngineOptions options{.optimizer = {.method = SgdOptions{.momentum = 0.9}, .average = true}};
  const auto gpu = engine::make_gpu_engine(network, options, counting(), 0);
  const auto cpu = make_native_engine(network, options);
  gpu->swap_average();  // before there is anything on the device
  gpu->swap_average();
  for (const float share : {1.0F, 0.0F, 0.25F}) {
    launches().clear();
    gpu->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0.05F, .average_share = share});
    if (share == 1) EXPECT_EQ(launches()[KernelId::average_all], 1);  // later ones are in a graph
    EXPECT_EQ(launches()[KernelId::average], 0);
    // The processor takes its average of the device's state; with no rate its own step leaves that alone.
    const State now = gpu->state();
    cpu->set_state(now);
    cpu->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {.lr = 0, .average_share = share});
    gpu->swap_average();
    cpu->swap_average();
    const State a = gpu->state(), b = cpu->state();
    gpu->swap_average();
    cpu->swap_average();
    EXPECT_EQ(io::weights_sha256(gpu->state()), io::weights_sha256(now));
    for (std::size_t i = 0; i < a.size(); ++i) {
      // A step moves running statistics at any rate.
      if (a[i].second.dtype() != DType::f32 || a[i].first.find("running_") != std::string::npos) continue;
      EXPECT_EQ(std::memcmp(a[i].second.raw(), b[i].second.raw(), a[i].second.bytes()), 0) << a[i].first;
    }
  }
}

double seconds_of(const std::vector<CallTime>& calls, const std::string& op) {
  double seconds = 0;
  for (const CallTime& call : calls)
    if (call.op == op) seconds += call.seconds;
  return seconds;
}

// What is timed is what a step launches: one update, whose time is its parts', and copies beside them.
TEST(Updates, AreTimedAsTheyRun) {
  const Shape images{2, 1, 13, 14};
  const Network network = network_of_width(64, images);
  const test::Examples e = test::examples(images, 3);
  const EngineOptions options{.precision = Precision::bf16};
  const auto timed = engine::make_gpu_engine(network, options, counting(), 0),
             whole = engine::make_gpu_engine(network, options, counting(), 0);
  const auto profile = [&] {
    launches().clear();
    return timed->profile(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.05F});
  };
  profile();  // which binds the plan, and prepares
  const std::vector<CallTime> calls = profile();
  EXPECT_EQ(launches()[KernelId::sgd_all], 1);
  EXPECT_EQ(launches()[KernelId::sgd], 0);
  EXPECT_EQ(launches()[KernelId::copy_weights], 1);
  EXPECT_EQ(calls.front().op, "copy_weights");
  EXPECT_GT(calls.front().bytes, 0);
  EXPECT_GT(calls.front().seconds, 0);
  // By their bytes.
  std::vector<const CallTime*> updates;
  for (const CallTime& call : calls)
    if (call.op == "sgd") updates.push_back(&call);
  ASSERT_GT(updates.size(), 5U);
  const CallTime& first = *updates.front();
  for (const CallTime* update : updates)
    EXPECT_NEAR(update->seconds * first.bytes, first.seconds * update->bytes,
                1e-9 * first.seconds * first.bytes);
  EXPECT_GT(seconds_of(calls, "conv2d"), 0);
  // With the bits of steps.
  for (int i = 0; i < 2; ++i) whole->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.05F});
  const State a = whole->state(StateScope::all), b = timed->state(StateScope::all);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_EQ(std::memcmp(a[i].second.raw(), b[i].second.raw(), a[i].second.bytes()), 0) << a[i].first;
}

}  // namespace
}  // namespace resnet

// A run on a GPU is asked for that one's own memory before its first step.
#include "train/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "emulator/emulator.h"
#include "engine/gpu.h"
#include "gpu/held_case.h"
#include "io/model_hash.h"
#include "support/networks.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

using testing::HasSubstr;

std::int64_t free_bytes = 0;  // of the device

resnet_device_api with_little_memory() {
  resnet_device_api api = emulator::api();
  api.facts = [](std::int32_t device, resnet_device_facts* facts) {
    const int status = emulator::api().facts(device, facts);
    facts->free_bytes = free_bytes;
    return status;
  };
  return api;
}

TEST(GpuMemory, OfARunIsTheDevicesAndTheHintFitsIt) {
  static const resnet_device_api kApi = with_little_memory();
  nn::Sequential net = test::tiny_network();
  nn::init(net, net.scheme(), 0);
  const data::Dataset set = test::counted(200);
  FitOptions options{.epochs = 1, .batch_size = 128};
  const auto engine = engine::make_gpu_engine(network_of(net, {128, 1, 4, 4}), {}, kApi, 0);
  const train::MemoryNeed need = train::need_of(options, *engine, net, set, set, 1);
  EXPECT_GT(need.device, need.engine) << "the state's mirror and a batch are smaller than all of a step";
  free_bytes = need.device;
  EXPECT_GT(train::fit_into_memory(options, *engine, net, set, set), 0);
  free_bytes = need.device - 1;
  std::string hint;
  try {
    train::fit_into_memory(options, *engine, net, set, set);
    ADD_FAILURE() << "it fits";
  } catch (const MemoryError& error) {
    EXPECT_THAT(error.what(), HasSubstr("more of the memory of emulator:0, of which"));
    hint = error.hint();
  }
  EXPECT_THAT(hint, testing::StartsWith("FitOptions::batch_size 64 with FitOptions::accumulate 2 needs"));
  options.batch_size = 64;
  options.accumulate = 2;
  EXPECT_GT(train::fit_into_memory(options, *engine, net, set, set), 0);
  free_bytes = 1;
  EXPECT_THROW(train::fit_into_memory(*engine, set, EvaluateOptions{}), MemoryError);
  EXPECT_THROW(train::fit_into_memory(*engine, set, {.batch_size = 1 << 20}), MemoryError);
}

// A device of so many bytes, of which it says how many are free.
std::int64_t all_bytes = 0, taken_bytes = 0;
std::map<void*, std::int64_t>& blocks() {
  static std::map<void*, std::int64_t> all;
  return all;
}
resnet_device_api with_bounded_memory() {
  resnet_device_api api = emulator::api();
  api.facts = [](std::int32_t device, resnet_device_facts* facts) {
    const int status = emulator::api().facts(device, facts);
    facts->free_bytes = all_bytes - taken_bytes;
    return status;
  };
  api.allocate = [](std::uint64_t bytes, void** memory) -> int {
    const auto size = static_cast<std::int64_t>(bytes);
    if (size > all_bytes - taken_bytes) return RESNET_DEVICE_NO_MEMORY;
    const int status = emulator::api().allocate(bytes, memory);
    blocks()[*memory] = size;
    taken_bytes += size;
    return status;
  };
  api.release = [](void* memory) {
    taken_bytes -= std::exchange(blocks()[memory], 0);
    emulator::api().release(memory);
  };
  return api;
}

// Weights in other forms for each plan, and the batches under way, are more than the last bytes of an arena.
TEST(GpuMemory, OfARunIsAllThatItTakes) {
  static const resnet_device_api kApi = with_bounded_memory();
  const data::Preprocessing preprocessing{.normalization = {{0.5}, {0.25}}};
  const data::Dataset train = test::decoded(test::bytes_of(22, {1, 13, 14}, preprocessing)),
                      test = test::decoded(test::bytes_of(7, {1, 13, 14}, preprocessing, 2));
  nn::Sequential net = test::random_network(
      "d2l_resnet18", {.in_channels = 1, .classes = 3, .blocks = {1}, .channels = {64}, .stem_channels = 64});
  FitOptions options{.epochs = 1, .batch_size = 4, .engine = {.precision = Precision::bf16}};
  options.engine_factory = [&](Network network, const EngineOptions& engine) -> std::unique_ptr<Engine> {
    return engine::make_gpu_engine(std::move(network), engine, kApi, 0);
  };
  all_bytes = std::int64_t{1} << 40;
  std::int64_t planned = 0, need = 0;
  {
    const auto engine = options.engine_factory(network_of(net, {4, 1, 13, 14}), options.engine);
    need = train::need_of(options, *engine, net, train, test, 1).device;
    planned = taken_bytes;
  }
  ASSERT_EQ(taken_bytes, 0);
  all_bytes = planned + need;
  EXPECT_EQ(fit(net, train, test, options).steps, 6);
  all_bytes = planned + need - 1;
  EXPECT_THROW(fit(net, train, test, options), MemoryError);
  EXPECT_EQ(taken_bytes, 0);
}

TEST(GpuMemory, ThatIsNotThereForTheFirstCallLeavesTheStateAsItWas) {
  static const resnet_device_api kApi = with_bounded_memory();
  nn::Sequential net = test::tiny_network();
  nn::init(net, net.scheme(), 0);
  const Network network = network_of(net, {4, 1, 4, 4});
  const Tensor x = random_uniform({4, 1, 4, 4}, 1);
  all_bytes = std::int64_t{1} << 40;
  const Tensor expected = engine::make_gpu_engine(network, {}, kApi, 0)->infer(x.view<float>());
  const auto engine = engine::make_gpu_engine(network, {}, kApi, 0);
  all_bytes = taken_bytes + (std::int64_t{4} << 20);  // for the state and a small batch
  const float never_read = 0;
  EXPECT_THROW(engine->infer({&never_read, Shape{1 << 20, 1, 4, 4}}), MemoryError);
  const Tensor after = engine->infer(x.view<float>());
  for (std::size_t i = 0; i < after.values().size(); ++i)
    EXPECT_EQ(after.values()[i], expected.values()[i]) << i;
}

// Also where a plan that found none took the memory for work with it.
TEST(GpuMemory, IsNotTakenToShowAnAverage) {
  static const resnet_device_api kApi = with_bounded_memory();
  nn::Sequential net = test::tiny_network();
  nn::init(net, net.scheme(), 0);
  const Tensor x = random_uniform({4, 1, 4, 4}, 1), labels(Shape{4}, DType::i32);
  all_bytes = std::int64_t{1} << 40;
  const auto engine =
      engine::make_gpu_engine(network_of(net, {4, 1, 4, 4}), {.optimizer = {.average = true}}, kApi, 0);
  for (const float share : {1.0F, 0.5F})
    engine->step(x.view<float>(), labels.view<std::int32_t>(), {.lr = 0.1F, .average_share = share});
  all_bytes = taken_bytes;
  const auto shown = [&] {
    engine->swap_average();
    const std::string average = io::weights_sha256(engine->state());
    engine->swap_average();
    return average + io::weights_sha256(engine->state(StateScope::all));
  };
  const std::string expected = shown();
  EXPECT_EQ(shown(), expected);
  EXPECT_NE(expected.substr(0, 64), io::weights_sha256(engine->state()));
  const float never_read = 0;
  EXPECT_THROW(engine->infer({&never_read, Shape{1 << 20, 1, 4, 4}}), MemoryError);
  EXPECT_EQ(shown(), expected);
}

}  // namespace
}  // namespace resnet

// A run on a GPU is asked for that one's own memory before its first step.
#include "train/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "emulator/emulator.h"
#include "engine/gpu.h"
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

}  // namespace
}  // namespace resnet

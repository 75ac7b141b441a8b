// An engine's calls may come from any thread.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <thread>

#include "emulator/emulator.h"
#include "engine/gpu.h"
#include "support/oracle.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

// CUDA's calls without a stream are for the device that their thread has named, and for the first one
// otherwise.
TEST(GpuThreads, NameTheDeviceBeforeTheyTakeOrGiveBackWhatIsThere) {
  static thread_local bool named = false;
  static int unnamed = 0;
  resnet_device_api api = emulator::api();
  api.use = [](std::int32_t device) {
    named = true;
    return emulator::api().use(device);
  };
  api.allocate = [](std::uint64_t bytes, void** memory) {
    unnamed += named ? 0 : 1;
    return emulator::api().allocate(bytes, memory);
  };
  api.release = [](void* memory) {
    unnamed += named ? 0 : 1;
    emulator::api().release(memory);
  };
  api.allocate_pinned = api.allocate;
  api.release_pinned = api.release;
  api.make_event = [](resnet_event** event) {
    unnamed += named ? 0 : 1;
    return emulator::api().make_event(event);
  };
  api.make_stream = [](resnet_stream** stream) {
    unnamed += named ? 0 : 1;
    return emulator::api().make_stream(stream);
  };
  nn::Sequential net = test::tiny_network();
  nn::init(net, net.scheme(), 0);
  const auto on_a_thread = [](const std::function<void()>& call) { std::thread(call).join(); };
  std::unique_ptr<PlannedEngine> engine;
  const test::Examples e = test::examples({4, 1, 4, 4}, 2);
  on_a_thread([&] { engine = engine::make_gpu_engine(network_of(net, {4, 1, 4, 4}), {}, api, 0); });
  on_a_thread([&] { engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.05F}); });
  on_a_thread([&] { engine.reset(); });
  EXPECT_EQ(unnamed, 0);
}

}  // namespace
}  // namespace resnet

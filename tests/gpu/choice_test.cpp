// What EngineOptions::device means: names, what is chosen by itself, and what is said where a GPU cannot be
// used. The plugin is a faked one over the emulated device.
#include "engine/choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "emulator/emulator.h"
#include "gpu/device.h"
#include "resnet/nn.h"
#include "support/variable.h"

namespace resnet::engine {
namespace {

using test::Variable;
using testing::HasSubstr;
using testing::StartsWith;

// A library that is on every machine, in place of a driver.
const gpu::PluginSearch kFaked{.driver = "libc.so.6", .paths = {RESNET_FAKE_PLUGIN}};
const gpu::PluginSearch kNoDriver{.driver = "libcuda_of_no_machine.so.1"};

// What and hint of an error of this type; empty where another one came, or none.
template <class E>
std::pair<std::string, std::string> refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const E& error) {
    EXPECT_LE(std::string(error.what()).size(), 300U);
    return {error.what(), error.hint()};
  } catch (const Error& error) {
    ADD_FAILURE() << "another error: " << error.what();
    return {};
  }
  ADD_FAILURE() << "no error";
  return {};
}

template <class E = ConfigError>
std::pair<std::string, std::string> refused(const std::string& device,
                                            const gpu::PluginSearch& search = kFaked) {
  return refusal<E>([&] { choose_device({.device = device}, search); });
}

TEST(Choice, SaysThatTheDriverIsTooOldWhereItCannotCompileKernels) {
  resnet_device_api api = emulator::api();
  api.make_stream = [](resnet_stream**) -> int { return RESNET_DEVICE_OLD_DRIVER; };
  const auto [what, hint] = refusal<DeviceError>([&] { const gpu::Device device(api, 0); });
  EXPECT_THAT(what, StartsWith("NVIDIA's driver is too old"));
  EXPECT_THAT(hint, StartsWith("install a newer driver"));
}

TEST(DeviceNames, AreReadAndNothingElseIs) {
  using Kind = DeviceName::Kind;
  struct Case {
    const char* text;
    Kind kind;
    int number, architecture;
  };
  for (const Case& c : {Case{"auto", Kind::automatic, 0, 0}, Case{"cpu", Kind::cpu, 0, 0},
                        Case{"cuda", Kind::cuda, 0, 0}, Case{"cuda:0", Kind::cuda, 0, 0},
                        Case{"cuda:17", Kind::cuda, 17, 0}, Case{"cuda:sm_90", Kind::cuda, 0, 90}}) {
    const auto name = device_named(c.text);
    ASSERT_TRUE(name) << c.text;
    EXPECT_EQ(name->kind, c.kind) << c.text;
    EXPECT_EQ(name->number, c.number) << c.text;
    EXPECT_EQ(name->architecture, c.architecture) << c.text;
  }
  for (const char* text : {"", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda:1000", "cuda:sm_",
                           "cuda:sm_75", "cuda:sm_90a", "cpu:0", "cuda0"})
    EXPECT_FALSE(device_named(text)) << text;
}

TEST(Choice, OfTheProcessorLooksForNothing) {
  const Choice choice = choose_device({}, kNoDriver);
  EXPECT_EQ(choice.api, nullptr);
  EXPECT_EQ(choice.reason, "");
}

TEST(Choice, BySelfIsTheFirstGpuThatCanBeUsed) {
  const Variable faults("RESNET_FAKE_PLUGIN", "devices=3,busy=0");
  const Choice choice = choose_device({.device = "auto"}, kFaked);
  ASSERT_NE(choice.api, nullptr);
  EXPECT_EQ(choice.number, 1);
  EXPECT_TRUE(choice.automatic);
}

TEST(Choice, BySelfIsElseTheProcessorAndSaysWhy) {
  const auto reason = [](const std::string& faults, const gpu::PluginSearch& search = kFaked) {
    const Variable faulty("RESNET_FAKE_PLUGIN", faults);
    const Choice choice = choose_device({.device = "auto"}, search);
    EXPECT_EQ(choice.api, nullptr) << faults;
    return choice.reason;
  };
  EXPECT_EQ(reason("", kNoDriver), "no NVIDIA driver");
  EXPECT_EQ(reason("", {.driver = "libc.so.6", .paths = {"/nowhere.so"}}), "no plugin for GPUs");
  EXPECT_EQ(reason("kernels"), "the plugin for GPUs has other kernels than this program");
  EXPECT_THAT(reason("none"), StartsWith("there is no GPU: no CUDA-capable device"));
  EXPECT_THAT(reason("devices=0"), StartsWith("there is no GPU"));
  EXPECT_THAT(reason("old-driver"), StartsWith("NVIDIA's driver is too old"));
  EXPECT_THAT(reason("busy=0"), StartsWith("cuda:0 is busy: all CUDA-capable devices are busy"));
  EXPECT_THAT(reason("architecture=75"), HasSubstr("has compute capability 7.5, and 8.0 is the least"));
  EXPECT_EQ(choose_device({.device = "auto", .isa = "avx2"}, kFaked).reason,
            "EngineOptions::isa names an instruction set of the processor");
}

Network small_network(const Shape& images) {
  nn::Sequential net(nn::Conv2d{1, 2, {.kernel = 3}}, nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{2, 2});
  nn::init(net, net.scheme(), 0);
  return network_of(net, images);
}

DeviceInfo chosen(const std::string& faults, const Shape& images = {2, 1, 8, 8}) {
  const Variable faulty("RESNET_FAKE_PLUGIN", faults);
  return make_chosen_engine(small_network(images), {.device = "auto"}, kFaked)->device();
}

TEST(Choice, BySelfIsTheFirstGpuThatHasTheMemory) {
  EXPECT_EQ(chosen("devices=3").kind, "cuda:0");
  EXPECT_EQ(chosen("devices=3,memory0=5000").kind, "cuda:1");
  EXPECT_EQ(chosen("devices=3,memory0=5000,busy=1").kind, "cuda:2");
  const DeviceInfo none = chosen("devices=2,memory=5000");
  EXPECT_EQ(none.kind, "cpu");
  EXPECT_THAT(none.reason, StartsWith("cuda:0 has ")) << "what the first one lacked";
}

// The processor may compute what the GPU's kernels cannot count; what was asked of a GPU by name is an error.
TEST(Choice, BySelfIsTheProcessorWhereTheGpusKernelsCannotCount) {
  const Shape images{1 << 17, 1, 100, 100};
  const DeviceInfo device = chosen("", images);
  EXPECT_EQ(device.kind, "cpu");
  EXPECT_THAT(device.reason, HasSubstr("too many pixels or weights for the GPU's kernels"));
  const Variable faultless("RESNET_FAKE_PLUGIN", "");
  const auto named = make_chosen_engine(small_network(images), {.device = "cuda"}, kFaked);
  EXPECT_THROW(named->planned_bytes(images, Work::step), ShapeError);
}

TEST(Choice, OfAGpuByItsNameTakesItOrSaysWhatIsMissing) {
  {
    const Variable faults("RESNET_FAKE_PLUGIN", "devices=2");
    EXPECT_EQ(choose_device({.device = "cuda:1"}, kFaked).number, 1);
    EXPECT_FALSE(choose_device({.device = "cuda"}, kFaked).automatic);
    const auto [what, hint] = refused("cuda:2");
    EXPECT_EQ(what, "there is no device cuda:2");
    EXPECT_EQ(hint, "use cuda:0 to cuda:1");
  }
  {
    const auto [what, hint] = refused("cuda", kNoDriver);
    EXPECT_THAT(what, StartsWith("EngineOptions::device cuda: no NVIDIA driver (libcuda_of_no_machine.so.1"));
    EXPECT_THAT(hint, HasSubstr("compute on the CPU"));
  }
  struct Case {
    const char *faults, *what, *hint;
  };
  for (const Case& c : {Case{"version", "of another version than this program", "build both of one source"},
                        Case{"kernels", "other kernels than this program", "build both of one source"},
                        Case{"none", "there is no GPU: no CUDA-capable device", "CUDA_VISIBLE_DEVICES"},
                        Case{"old-driver", "NVIDIA's driver is too old", "install a newer driver"},
                        Case{"architecture=75", "compute capability 7.5", "Ampere"}}) {
    const Variable faults("RESNET_FAKE_PLUGIN", c.faults);
    const auto [what, hint] = refused("cuda");
    EXPECT_THAT(what, HasSubstr(c.what)) << c.faults;
    EXPECT_THAT(hint, HasSubstr(c.hint)) << c.faults;
  }
  const Variable busy("RESNET_FAKE_PLUGIN", "busy=0");
  const auto [what, hint] = refused<DeviceError>("cuda:0");
  EXPECT_THAT(what, StartsWith("cuda:0 is busy: "));
  EXPECT_THAT(hint, HasSubstr("nvidia-smi"));
}

TEST(Choice, RefusesWhatNamesNoDevice) {
  EXPECT_THAT(refused("gpu").first, StartsWith("EngineOptions::device cannot be 'gpu'"));
  EXPECT_THAT(refused("cuda:sm_90").second, HasSubstr("an architecture, for plans alone"));
  EXPECT_THAT(refusal<ConfigError>([] { choose_device({.device = "cuda", .isa = "avx2"}, kFaked); }).first,
              HasSubstr("EngineOptions::isa is of the processor"));
}

TEST(Tf32, IsRefusedOnTheProcessor) {
  const auto [what, hint] = refusal<ConfigError>([] { check(EngineOptions{.precision = Precision::tf32}); });
  EXPECT_THAT(what, HasSubstr("EngineOptions::precision tf32 is of GPUs alone"));
  EXPECT_THAT(hint, HasSubstr("EngineOptions::precision f32"));
}

}  // namespace
}  // namespace resnet::engine

// What is said where there is no driver, no plugin, or one that does not fit.
#include "gpu/plugin.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "emulator/emulator.h"
#include "gpu/device.h"
#include "resnet/error.h"

namespace resnet::gpu {
namespace {

// A library that is on every machine, in place of a driver.
const char* const kDriver = "libc.so.6";

void expect_refused(const PluginSearch& search, const std::string& why, const std::string& hint) {
  const Plugin plugin = load_plugin(search);
  EXPECT_EQ(plugin.api, nullptr);
  EXPECT_NE(plugin.why.find(why), std::string::npos) << plugin.why;
  EXPECT_NE(plugin.hint.find(hint), std::string::npos) << plugin.hint;
  EXPECT_LE(plugin.why.size(), 300U);
  EXPECT_EQ(plugin.why.find('\n'), std::string::npos);
}

TEST(Plugin, IsNotLookedForWithoutADriver) {
  expect_refused({.driver = "libcuda_of_no_machine.so.1", .paths = {"/nowhere/libresnet_cuda.so"}},
                 "no NVIDIA driver (libcuda_of_no_machine.so.1", "install NVIDIA's driver");
}

TEST(Plugin, IsMissed) {
  expect_refused({.driver = kDriver, .paths = {"/nowhere/libresnet_cuda.so", "libresnet_of_nowhere.so"}},
                 "no plugin for GPUs (/nowhere/libresnet_cuda.so", "RESNET_CUDA_PLUGIN");
  expect_refused({.driver = kDriver}, "no plugin for GPUs", "beside the program");
}

TEST(Plugin, IsRefusedWhereItIsSomethingElse) {
  expect_refused({.driver = kDriver, .paths = {"libm.so.6"}}, "has no function resnet_device",
                 "RESNET_CUDA_PLUGIN");
}

// The fake one says its version in RESNET_FAKE_PLUGIN.
TEST(Plugin, IsRefusedWhereItIsOfAnotherVersionAndTakenWhereItFits) {
  const PluginSearch search{.driver = kDriver, .paths = {RESNET_FAKE_PLUGIN}};
  setenv("RESNET_FAKE_PLUGIN", "old", 1);
  expect_refused(search, "of another version", "build both of one source");
  setenv("RESNET_FAKE_PLUGIN", "none", 1);
  expect_refused(search, "of another version", "build both of one source");
  setenv("RESNET_FAKE_PLUGIN", "fits", 1);
  const Plugin plugin = load_plugin(search);
  ASSERT_NE(plugin.api, nullptr) << plugin.why;
  EXPECT_STREQ(plugin.api->name, "fake");
  try {
    const Device device(*plugin.api);
    ADD_FAILURE() << "it has a device";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("no CUDA-capable device is detected"), std::string::npos)
        << error.what();
  }
  unsetenv("RESNET_FAKE_PLUGIN");
}

// Where there is no device it says so, and all this without a driver too.
TEST(Plugin, ThatWasBuiltFits) {
#if defined(RESNET_BUILT_PLUGIN)
  const Plugin plugin = load_plugin({.driver = kDriver, .paths = {RESNET_BUILT_PLUGIN}});
  ASSERT_NE(plugin.api, nullptr) << plugin.why;
  EXPECT_STREQ(plugin.api->name, "cuda");
  try {
    const Device device(*plugin.api);
    EXPECT_GE(device.facts().architecture, 80);
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("cuda:0 failed while looking for devices: "), 0U)
        << error.what();
  }
#else
  GTEST_SKIP() << "there is no CUDA toolkit here: the plugin was not built";
#endif
}

TEST(Plugin, IsLookedForWhereTheVariableSaysAlone) {
  setenv("RESNET_CUDA_PLUGIN", "/some/where.so", 1);
  EXPECT_EQ(default_search().paths, std::vector<std::string>{"/some/where.so"});
  unsetenv("RESNET_CUDA_PLUGIN");
  const std::vector<std::string> paths = default_search().paths;
  ASSERT_EQ(paths.size(), 3U);
  EXPECT_TRUE(paths[0].ends_with("/libresnet_cuda.so")) << paths[0];
  EXPECT_EQ(paths[2], "libresnet_cuda.so");
}

}  // namespace
}  // namespace resnet::gpu

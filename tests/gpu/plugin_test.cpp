// What is said where there is no driver, no plugin, or one that does not fit.
#include "gpu/plugin.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "gpu/device.h"
#include "resnet/error.h"
#include "support/variable.h"

namespace resnet::gpu {
namespace {

// A library that is on every machine, in place of a driver.
const char* const kDriver = "libc.so.6";

void expect_refused(const PluginSearch& search, const std::string& why, const std::string& detail,
                    const std::string& hint) {
  const Plugin plugin = load_plugin(search);
  EXPECT_EQ(plugin.api, nullptr);
  EXPECT_EQ(plugin.why, why);
  EXPECT_NE(plugin.detail.find(detail), std::string::npos) << plugin.detail;
  EXPECT_NE(plugin.hint.find(hint), std::string::npos) << plugin.hint;
  EXPECT_LE(plugin.why.size() + plugin.detail.size(), 300U);
  EXPECT_EQ(plugin.detail.find('\n'), std::string::npos);
}

TEST(Plugin, IsNotLookedForWithoutADriver) {
  expect_refused({.driver = "libcuda_of_no_machine.so.1", .paths = {"/nowhere/libresnet_cuda.so"}},
                 "no NVIDIA driver", "libcuda_of_no_machine.so.1", "install NVIDIA's driver");
}

TEST(Plugin, IsMissed) {
  expect_refused({.driver = kDriver, .paths = {"/nowhere/libresnet_cuda.so", "libresnet_of_nowhere.so"}},
                 "no plugin for GPUs", "/nowhere/libresnet_cuda.so", "RESNET_CUDA_PLUGIN");
  expect_refused({.driver = kDriver}, "no plugin for GPUs", "", "beside the program");
}

TEST(Plugin, IsRefusedWhereItIsSomethingElse) {
  expect_refused({.driver = kDriver, .paths = {"libm.so.6"}},
                 "the plugin for GPUs has no function resnet_device", "", "RESNET_CUDA_PLUGIN");
}

TEST(Plugin, IsRefusedWhereItDoesNotFitAndTakenWhereItDoes) {
  const PluginSearch search{.driver = kDriver, .paths = {RESNET_FAKE_PLUGIN}};
  const std::string version = "the plugin for GPUs is of another version than this program";
  for (const auto& [fault, why] :
       {std::pair("version", version), std::pair("null", version),
        std::pair("kernels", std::string("the plugin for GPUs has other kernels than this program"))}) {
    const test::Variable faulty("RESNET_FAKE_PLUGIN", fault);
    expect_refused(search, why, "", "build both of one source");
  }
  const Plugin plugin = load_plugin(search);
  ASSERT_NE(plugin.api, nullptr) << plugin.why;
  EXPECT_EQ(Device(*plugin.api).name(), "cuda:0");
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
  } catch (const ConfigError& error) {  // of the runtime, in words of ours
    const std::string what = error.what();
    EXPECT_TRUE(what.starts_with("there is no GPU: ") || what.starts_with("NVIDIA's driver is too old"))
        << what;
  }
#else
  GTEST_SKIP() << "there is no CUDA toolkit here: the plugin was not built";
#endif
}

TEST(Plugin, IsLookedForWhereTheVariableSaysAlone) {
  {
    const test::Variable named("RESNET_CUDA_PLUGIN", "/some/where.so");
    EXPECT_EQ(default_search().paths, std::vector<std::string>{"/some/where.so"});
  }
  const test::Variable unnamed("RESNET_CUDA_PLUGIN", "");
  const std::vector<std::string> paths = default_search().paths;
  ASSERT_EQ(paths.size(), 3U);
  EXPECT_TRUE(paths[0].ends_with("/libresnet_cuda.so")) << paths[0];
  EXPECT_EQ(paths[2], "libresnet_cuda.so");
}

}  // namespace
}  // namespace resnet::gpu

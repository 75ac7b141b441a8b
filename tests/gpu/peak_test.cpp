// What a device can do at most, and that the kernels that measure it do all that is counted.
#include "gpu/peak.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "gpu/tested_device.h"

namespace resnet::gpu {
namespace {

std::vector<float> results_of(device::KernelId kernel, std::int32_t turns) {
  constexpr std::int64_t kBlocks = 2;
  Device device(test::tested_device());
  std::vector<float> y(static_cast<std::size_t>(kBlocks * device::kThreads));
  const auto bytes = static_cast<std::int64_t>(y.size() * sizeof(float));
  const Memory memory(device, bytes);
  Recorder recorder(Addresses{});
  recorder.launch(kernel, kBlocks, device::PeakArgs{reinterpret_cast<float*>(memory.data()), turns});
  device.launch(recorder.take().front());
  device.copy(y.data(), memory.data(), bytes);
  device.synchronize();
  return y;
}

TEST(GpuPeak, ComesFromKernelsThatDoAllOfTheirProducts) {
  const auto sums = static_cast<float>(device::kPeakSums);
  for (const float y : results_of(device::KernelId::peak_ffma, 3))
    ASSERT_EQ(y, sums * std::ldexp(1.0F, 48));  // 2^48 - 1, rounded
  for (const float y : results_of(device::KernelId::peak_ffma, 5)) ASSERT_EQ(y, sums * 65535);
  for (const float y : results_of(device::KernelId::peak_tf32, 3)) ASSERT_EQ(y, sums * 4 * 8 * 3);
  for (const float y : results_of(device::KernelId::peak_bf16, 3)) ASSERT_EQ(y, sums * 4 * 16 * 3);
}

TEST(GpuPeak, IsMeasured) {
  Device device(test::tested_device());
  for (const Units units : {Units::ffma, Units::tf32, Units::bf16})
    EXPECT_GT(peak_gflops(device, units), 1e-6);
  EXPECT_GT(memory_gbytes(device), 1e-6);
  EXPECT_GT(copy_gbytes(device), 1e-6);
}

}  // namespace
}  // namespace resnet::gpu

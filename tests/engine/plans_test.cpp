// An engine keeps a bounded number of plans.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "engine/allocations.h"
#include "support/networks.h"

namespace resnet {
namespace {

Network network() {
  return network_of(test::initialised(nn::Sequential(nn::Conv2d{1, 4, {.padding = 1}}, nn::ReLU{},
                                                     nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{4, 3})),
                    {1, 1, 8, 8});
}

void infer(Engine& engine, std::int64_t height, std::int64_t width) {
  const Tensor x(Shape{1, 1, height, width});
  engine.infer(x.view<float>());
}

// What a call allocates tells whether it compiled.
bool compiles(Engine& engine, std::int64_t height, std::int64_t width) {
  infer(engine, 40, 1);  // what grows grows before
  const std::int64_t before = test::allocations();
  infer(engine, height, width);
  return test::allocations() - before > 20;
}

TEST(Plans, StayForTheSixteenShapesUsedLast) {
  const auto engine = make_native_engine(network(), {.threads = 1});
  infer(*engine, 40, 40);
  for (std::int64_t size = 1; size <= 15; ++size) EXPECT_TRUE(compiles(*engine, size, size));
  for (std::int64_t size = 1; size <= 15; ++size) EXPECT_FALSE(compiles(*engine, size, size)) << size;
  EXPECT_TRUE(compiles(*engine, 16, 16));
  EXPECT_TRUE(compiles(*engine, 1, 1)) << "the one that was used longest ago has gone";
  for (std::int64_t size = 3; size <= 16; ++size) EXPECT_FALSE(compiles(*engine, size, size)) << size;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which keep what is freed
TEST(Plans, TakeNoMemoryForEveryShapeThatEverCame) {
  const auto resident = [] {
    std::int64_t all = 0, pages = 0;
    std::ifstream("/proc/self/statm") >> all >> pages;
    return pages * sysconf(_SC_PAGESIZE);
  };
  const auto engine = make_native_engine(network(), {.threads = 2});
  std::int64_t before = 0;
  for (std::int64_t shape = 0; shape < 1000; ++shape) {
    infer(*engine, 40 - shape % 32, 40 - shape / 32);
    if (shape == 100) before = resident();
  }
  EXPECT_LE(resident() - before, 1 << 20) << "bytes more after 900 shapes";
}
#endif

}  // namespace
}  // namespace resnet

#include "base/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/cores.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

TEST(Isa, NamesGoBothWays) {
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) EXPECT_EQ(isa_named(name_of(isa)), isa);
  for (const char* name : {"", "AVX2", "avx", "avx512_bf16 ", "sse"})
    EXPECT_EQ(isa_named(name), std::nullopt);
  EXPECT_LT(Isa::avx2, Isa::avx512);
  EXPECT_LT(Isa::avx512, Isa::avx512_bf16);
}

TEST(Machine, HasAModelAndMemoryInUse) {
  EXPECT_FALSE(cpu_model().empty());
  const std::int64_t before = peak_rss_bytes();
  EXPECT_GT(before, 1 << 20);
  constexpr std::size_t kMore = 64U << 20U;
  std::vector<char> block(kMore, 1);
  EXPECT_EQ(block[kMore / 2], 1);
  EXPECT_GE(peak_rss_bytes(), static_cast<std::int64_t>(kMore)) << "bytes, not KiB";
}

TEST(Machine, UsesNoMoreCoresThanAffinityLeaves) {
  const int cores = usable_cores();
  EXPECT_GE(cores, 1);
  EXPECT_LE(cores, static_cast<int>(sysconf(_SC_NPROCESSORS_CONF)));
  int alone = 0;
  std::thread([&] {  // affinity belongs to a thread
    cpu_set_t set;
    ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    int first = 0;
    while (!CPU_ISSET(first, &set)) ++first;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    ASSERT_EQ(sched_setaffinity(0, sizeof set, &set), 0);
    alone = usable_cores();
  })
      .join();
  EXPECT_EQ(alone, 1);
}

TEST(Machine, TakesThreadsFromTheEnvironmentIfItNamesSome) {
  const auto threads = [](const char* text) {
    const ScopedVariable variable("OMP_NUM_THREADS", text);
    return default_threads();
  };
  const int cores = usable_cores();
  EXPECT_EQ(threads(nullptr), cores);
  EXPECT_EQ(threads("3"), 3);
  EXPECT_EQ(threads("3,2"), 3) << "a list is a number for each level of nesting";
  EXPECT_EQ(threads("999999999"), 1024);
  for (const char* text : {"", "0", "-1", "many", "3.5"}) EXPECT_EQ(threads(text), cores) << text;
}

TEST(Machine, SaysWhatDecidedTheNumberOfThreads) {
  const ScopedVariable given("OMP_NUM_THREADS", "3");
  EXPECT_EQ(threads_wanted().from, "OMP_NUM_THREADS");
  const ScopedVariable none("OMP_NUM_THREADS", nullptr);
  EXPECT_THAT(threads_wanted().from, testing::AnyOf("control group", "affinity", "cores"));
}

}  // namespace
}  // namespace resnet

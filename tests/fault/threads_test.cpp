// Where a thread cannot be started, those that run already end, and the caller learns of it by an exception.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <new>

#include "fault/failing_memory.h"
#include "resnet/data.h"
#include "resnet/engine.h"
#include "resnet/models.h"
#include "tensor/thread_pool.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

using testing::HasSubstr;

// Lets one allocation after the other fail until none does; gives how often the threads were what failed.
int failed_starts(const std::function<void()>& make) {
  int failures = 0;
  test::for_each_allocation([] {}, make,
                            [&](const test::TriedMemory& tried) {
                              if (tried.done || tried.what == "bad_alloc") return;  // of something else
                              EXPECT_THAT(tried.what, HasSubstr("cannot start"));
                              ++failures;
                            });
  return failures;
}

TEST(Threads, OfAPoolEndWhereMemoryDoes) {
  EXPECT_GE(failed_starts([] { ThreadPool pool(5); }), 4) << "each worker takes some memory";
}

TEST(Threads, OfALoaderEndWhereMemoryDoes) {
  const data::Dataset set = test::counted(8);
  EXPECT_GE(failed_starts([&] { data::Loader loader(set, {.batch_size = 2, .threads = 4}); }), 4);
}

TEST(Threads, OfAnEngineEndWhereMemoryDoes) {
  nn::Sequential net(nn::Conv2d{1, 2}, nn::Flatten{});
  nn::init(net, nn::Scheme::chapter, 1);
  const Network network = network_of(net, {1, 1, 3, 3});
  EXPECT_GE(failed_starts([&] { make_native_engine(network, {.threads = 4}); }), 3);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which need terabytes of addresses
TEST(Threads, EndWhereTheSystemGivesNoMore) {
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  rlimit less = before;
  constexpr rlim_t kMore = 64U << 20U;  // a few stacks
  less.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE)) + kMore;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &less), 0);
  try {
    ThreadPool pool(100);
    ADD_FAILURE() << "100 threads with the stacks of a few";
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot start 99 more threads"));
  }
  EXPECT_EQ(setrlimit(RLIMIT_AS, &before), 0);
}
#endif

}  // namespace
}  // namespace resnet

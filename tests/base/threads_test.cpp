#include "base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>

namespace resnet {
namespace {

bool is_blocked(int signal) {
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, nullptr, &now);
  return sigismember(&now, signal) == 1;
}

TEST(Threads, TakeNoSignalThatEndsTheProgram) {
  std::atomic<int> blocked = 0;
  Threads threads;
  threads.start(2, [&](int) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) blocked += is_blocked(signal) ? 1 : 0;
    for (const int signal : {SIGPROF, SIGALRM, SIGUSR2}) blocked += is_blocked(signal) ? 100 : 0;
  });
  threads.join();
  EXPECT_EQ(blocked, 2 * 4);
  EXPECT_FALSE(is_blocked(SIGINT)) << "the thread that started them takes it as before";
}

}  // namespace
}  // namespace resnet

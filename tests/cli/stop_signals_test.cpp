// Ctrl-C once and twice. Each test runs in a process of its own: what a signal sets stays set.
#include "cli/stop_signals.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>

namespace resnet::cli {
namespace {

using testing::ExitedWithCode;
using testing::KilledBySignal;

TEST(StopSignals, EndTheProgramAtOnceWhereThereIsNothingToFinish) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    EXPECT_EXIT(
        {
          std::signal(signal, SIG_DFL);  // a test that runs in the background has SIGINT ignored
          end_at_signals();
          static_cast<void>(std::raise(signal));
          std::exit(0);
        },
        ExitedWithCode(128 + signal), "^resnet: interrupted; no file is half-written\n$")
        << signal;
  }
  EXPECT_EXIT(
      {
        std::signal(SIGHUP, SIG_IGN);
        end_at_signals();
        static_cast<void>(std::raise(SIGHUP));
        std::exit(7);
      },
      ExitedWithCode(7), "");
}

TEST(StopSignals, AskToStopFromThenOn) {
  EXPECT_EXIT(
      {
        std::signal(SIGINT, SIG_DFL);
        end_at_signals();
        stop_at_signals();
        static_cast<void>(std::raise(SIGINT));
        std::exit(stop_requested() ? 7 : 1);
      },
      ExitedWithCode(7), "finishing the step and saving");
}

TEST(StopSignals, TheFirstOneAsksToStopAndSaysSo) {
  EXPECT_EXIT(
      {
        stop_at_signals();
        if (stop_requested() || stop_signal() != 0) std::exit(1);
        static_cast<void>(std::raise(SIGTERM));
        std::exit(stop_requested() && stop_signal() == SIGTERM ? 0 : 2);
      },
      ExitedWithCode(0), "finishing the step and saving");
}

TEST(StopSignals, ASecondOneOfAnyKindEndsTheProgram) {
  for (const int first : {SIGINT, SIGTERM, SIGHUP}) {
    for (const int second : {SIGINT, SIGTERM, SIGHUP}) {
      EXPECT_EXIT(
          {
            stop_at_signals(std::chrono::milliseconds(0));
            static_cast<void>(std::raise(first));
            static_cast<void>(std::raise(second));
            std::exit(0);
          },
          KilledBySignal(second), "")
          << first << ' ' << second;
    }
  }
}

TEST(StopSignals, ThoseOfOneBurstAreOneRequest) {
  EXPECT_EXIT(
      {
        stop_at_signals(std::chrono::hours(1));
        for (const int signal : {SIGTERM, SIGTERM, SIGINT, SIGHUP}) static_cast<void>(std::raise(signal));
        std::exit(stop_signal() == SIGTERM ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST(StopSignals, LeaveErrnoAsItWas) {
  EXPECT_EXIT(
      {
        stop_at_signals();
        ::close(STDERR_FILENO);  // the message cannot be written
        errno = ENOSPC;
        static_cast<void>(std::raise(SIGINT));
        std::exit(errno == ENOSPC ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST(StopSignals, WhatIsIgnoredStaysIgnored) {
  EXPECT_EXIT(
      {
        std::signal(SIGHUP, SIG_IGN);
        stop_at_signals();
        static_cast<void>(std::raise(SIGHUP));
        static_cast<void>(std::raise(SIGHUP));
        std::exit(stop_signal());
      },
      ExitedWithCode(0), "");
}

}  // namespace
}  // namespace resnet::cli

// Signals that end a program, put off while a thread must not be stopped half-way.
#pragma once

#include <csignal>
#include <initializer_list>

namespace resnet {

/// While it lives, SIGINT, SIGTERM, SIGHUP and SIGUSR1 are not delivered to this thread nor to those that it
/// starts meanwhile; one that comes is delivered afterwards, or to another thread.
class SignalsHeld {
 public:
  SignalsHeld() noexcept {
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaddset(&held, signal);
    pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  ~SignalsHeld() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace resnet

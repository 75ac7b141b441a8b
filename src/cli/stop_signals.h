// Ctrl-C and the signals like it: the first one asks the command to finish, the second one ends the program.
#pragma once

#include <atomic>
#include <chrono>

namespace resnet::cli {

/// The exit code of a program that a signal ended is this + the signal, as a shell has it.
inline constexpr int kSignalBase = 128;

/// From now on SIGINT, SIGTERM, SIGHUP or SIGUSR1 (a batch system's warning) ends the program at once, with a
/// line on stderr and the exit code kSignalBase + signal: for as long as there is nothing to finish. One that
/// is ignored, as nohup does, stays so.
void end_at_signals();

/// What such a signal removes on its way: an empty folder, by a name that stays where it is; null: nothing.
void remove_at_signals(const char* folder) noexcept;

/// From now on the first of them sets stop_requested(), and says on stderr what is done now; one that
/// comes later than `burst` behind it, whichever it is, ends the program as the system does. What comes
/// sooner is the same request: coreutils' timeout sends its signal twice, a terminal that closes sends
/// several. One that is ignored, as nohup does, stays so. `line` is a literal.
void stop_at_signals(std::chrono::milliseconds burst = std::chrono::milliseconds(500),
                     const char* line = "\nresnet: finishing the step and saving; once more to give up\n");

const std::atomic<bool>& stop_requested() noexcept;
/// The signal that came first; 0: none.
int stop_signal() noexcept;

}  // namespace resnet::cli

// Ctrl-C and the signals like it: the first one asks the command to finish, the second one ends the program.
#pragma once

#include <atomic>

namespace resnet::cli {

/// From now on the first SIGINT, SIGTERM or SIGHUP sets stop_requested(), and says so on stderr; the next
/// one, whichever it is, ends the program as the system does. One that is ignored, as nohup does, stays so.
void stop_at_signals();

const std::atomic<bool>& stop_requested() noexcept;
/// The signal that came first; 0: none.
int stop_signal() noexcept;

}  // namespace resnet::cli

#include "cli/stop_signals.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <string_view>

namespace resnet::cli {
namespace {

std::atomic<bool> g_stop{false};
std::atomic<int> g_signal{0};
std::atomic<std::int64_t> g_first{0};  // when it came, in nanoseconds
std::atomic<std::int64_t> g_burst{0};  // nanoseconds
std::atomic<const char*> g_line{""};   // that the first one writes
std::atomic<const char*> g_folder{nullptr};
static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free &&
                  std::atomic<int>::is_always_lock_free,
              "a signal handler may take no lock");

std::int64_t nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void write_line(std::string_view text) {
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) {
    // nobody is there to read it
  }
}

std::atomic<bool> g_terminal{false};  // whether stderr is one, where a bar may stand in the line

extern "C" void end_at_signal(int signal) {
  if (const char* const folder = g_folder.load(); folder != nullptr) ::rmdir(folder);
  write_line(g_terminal.load() ? "\nresnet: interrupted; no file is half-written\n"
                               : "resnet: interrupted; no file is half-written\n");
  ::_exit(kSignalBase + signal);
}

extern "C" void on_signal(int signal) {
  const int error = errno;  // of the call that was interrupted
  const std::int64_t now = nanoseconds();
  std::int64_t first = 0;
  if (g_first.compare_exchange_strong(first, now)) {
    g_signal.store(signal);
    g_stop.store(true);
    write_line(g_line.load());
  } else if (now - first >= g_burst.load()) {
    write_line("\nresnet: ended at once; what was not saved before is lost\n");
    std::signal(signal, SIG_DFL);
    static_cast<void>(std::raise(signal));  // delivered when this handler returns
  }
  errno = error;
}

void handle(void (*handler)(int)) {
  constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  for (const int signal : kSignals) sigaddset(&action.sa_mask, signal);
  for (const int signal : kSignals) {
    struct sigaction before {};
    if (::sigaction(signal, nullptr, &before) != 0 || before.sa_handler == SIG_IGN) continue;
    static_cast<void>(::sigaction(signal, &action, nullptr));
  }
}

}  // namespace

void end_at_signals() {
  g_terminal.store(::isatty(STDERR_FILENO) != 0);
  handle(end_at_signal);
}

void remove_at_signals(const char* folder) noexcept {
  g_folder.store(folder);
}

void stop_at_signals(std::chrono::milliseconds burst, const char* line) {
  g_line.store(line);
  g_burst.store(std::chrono::nanoseconds(burst).count());
  handle(on_signal);
}

const std::atomic<bool>& stop_requested() noexcept {
  return g_stop;
}

int stop_signal() noexcept {
  return g_signal.load();
}

}  // namespace resnet::cli

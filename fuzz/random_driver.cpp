// A driver for every compiler: random inputs, numbered, so that one can be run again.
//
// Usage: model_fuzz [--first N] [--runs N] [--seconds N]
// Before each input its number goes to standard error's last line if it takes more than 10 s: a hang.
#include <fmt/core.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "model_fuzz.h"

namespace {

std::atomic<std::uint64_t> g_number{0};

std::vector<std::uint8_t> bytes_of(std::uint64_t number) {
  const resnet::RandomStream random(number, "fuzz");
  std::vector<std::uint8_t> bytes(1024);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(random.word(i));
  return bytes;
}

extern "C" void on_end(int signal) {
  fmt::print(stderr, "{} in input {}: model_fuzz --first {} --runs 1\n", signal == SIGALRM ? "10 s" : "abort",
             g_number.load(), g_number.load());
  std::_Exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t first = 0, runs = ~std::uint64_t{0}, accepted = 0, done = 0;
  double seconds = 1e9;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--first") first = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--runs") runs = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--seconds") seconds = std::strtod(argv[i + 1], nullptr);
  }
  for (const int signal : {SIGALRM, SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL}) std::signal(signal, on_end);
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  for (; done < runs && std::chrono::duration<double>(Clock::now() - begin).count() < seconds; ++done) {
    g_number = first + done;
    constexpr unsigned kHang = 10;  // seconds
    ::alarm(kHang);
    accepted += resnet::fuzz::run_one(bytes_of(g_number)) ? 1 : 0;
  }
  fmt::print("{} inputs from number {}, {} networks accepted and run\n", done, first, accepted);
  return 0;
}

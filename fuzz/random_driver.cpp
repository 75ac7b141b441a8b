// A driver for every compiler: the inputs of a corpus, then numbered ones, so that one can be run again.
//
// Usage: fuzz TARGET [--first N] [--runs N] [--seconds N]  inputs from N on; the corpus first if N is 0
//        fuzz all [--seconds N]                            every target, each for that time
//        fuzz TARGET --unpack FOLDER | --pack FOLDER       the corpus as files, for libFuzzer, and back
// An input that takes more than 10 s, or memory that comes to more than 2 GB, is found like a crash.
#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "corpus.h"
#include "found.h"
#include "mutate.h"

namespace {

using namespace resnet::fuzz;

constexpr unsigned kMostSeconds = 10;    // of an input
constexpr long kMostMemory = 2L << 20U;  // KiB, of all

std::string g_target;
std::atomic<std::uint64_t> g_number{0};
std::atomic<bool> g_corpus{false};

extern "C" void on_end(int signal) {
  const bool corpus = g_corpus;  // all of it is run before number 0
  fmt::print(stderr, "{} in {} {}: fuzz {} --first {} --runs {}\n", signal == SIGALRM ? "too long" : "abort",
             corpus ? "the corpus' input" : "input", g_number.load(), g_target, corpus ? 0 : g_number.load(),
             corpus ? 0 : 1);
  std::_Exit(1);
}

std::string input_of(const Target& target, std::uint64_t number) {
  constexpr std::uint64_t kBlocks = 64;
  const resnet::RandomStream random(number, "fuzz");
  std::string bytes;
  for (std::uint64_t i = 0; i < kBlocks; ++i) {
    for (const std::uint32_t word : random.block(i)) {
      for (const unsigned shift : {0U, 8U, 16U, 24U}) bytes += static_cast<char>(word >> shift);
    }
  }
  if (target.seeds.empty()) return bytes;
  Choices choices(bytes_of(bytes));
  return mutated(choices, target);
}

struct Bounds {
  std::uint64_t first = 0, runs = std::numeric_limits<std::uint64_t>::max();
  double seconds = 1e9;
};

struct Count {
  std::uint64_t done = 0, accepted = 0;
};

void run(const Target& target, const std::string& input, Count& count) {
  ::alarm(kMostSeconds);
  count.accepted += target.run(input) ? 1 : 0;
  ++count.done;
  ::alarm(0);
#if !defined(__SANITIZE_ADDRESS__)
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  if (usage.ru_maxrss > kMostMemory) found("too much memory");
#endif
}

void run_all(Target target, const Bounds& bounds) {
  g_target = target.name;
  Count count;
  const std::vector<std::string> corpus = read_corpus(target.name);
  if (bounds.first == 0) {
    g_corpus = true;
    for (g_number = 0; g_number < corpus.size(); ++g_number) run(target, corpus[g_number], count);
    for (const std::string& seed : target.seeds) run(target, seed, count);
    g_corpus = false;
  }
  // Half of what inputs begin with are the target's own: those of a corpus are the shortest, most of them refused.
  const std::size_t own = target.seeds.size();
  for (std::size_t i = 0; own > 0 && i < corpus.size(); ++i) {
    target.seeds.push_back(corpus[i]);
    target.seeds.push_back(std::string(target.seeds[i % own]));
  }
  const std::uint64_t replayed = count.done;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < bounds.runs && resnet::seconds_since(begin) < bounds.seconds; ++i) {
    g_number = bounds.first + i;
    run(target, input_of(target, g_number), count);
  }
  fmt::print("{}: {} inputs of the corpus, {} from number {} on; {} accepted\n", target.name, replayed,
             count.done - replayed, bounds.first, count.accepted);
}

void unpack(const Target& target, const std::filesystem::path& folder) {
  std::vector<std::string> inputs = read_corpus(target.name);
  inputs.insert(inputs.end(), target.seeds.begin(), target.seeds.end());
  std::filesystem::create_directories(folder);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    std::ofstream(folder / fmt::format("{:04}", i), std::ios::binary) << inputs[i];
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  Bounds bounds;
  std::string from, to;
  bool understood = argc % 2 == 0;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--first") {
      bounds.first = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (flag == "--runs") {
      bounds.runs = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (flag == "--seconds") {
      bounds.seconds = std::strtod(argv[i + 1], nullptr);
    } else if (flag == "--pack") {
      from = argv[i + 1];
    } else if (flag == "--unpack") {
      to = argv[i + 1];
    } else {
      understood = false;
    }
  }
  for (const int signal : {SIGALRM, SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL}) std::signal(signal, on_end);
  bool known = false;
  for (const auto& target : kTargets) {
    if (!understood || (target.name != name && name != "all")) continue;
    known = true;
    if (!from.empty()) {
      write_corpus(std::string(name), from);
    } else if (!to.empty()) {
      unpack(target.make(), to);
    } else {
      run_all(target.make(), bounds);
    }
  }
  if (known) return 0;
  fmt::print(
      stderr,
      "usage: fuzz TARGET|all [--first N] [--runs N] [--seconds N] [--pack FOLDER] [--unpack FOLDER]\n");
  for (const auto& target : kTargets) fmt::print(stderr, "  {}\n", target.name);
  return 2;
}

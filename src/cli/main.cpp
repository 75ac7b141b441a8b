// The program `resnet`: thin commands over the library. An error becomes one line of what, one line of
// hint, and an exit code.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>
#include <system_error>

#include "base/machine.h"
#include "base/nearest.h"
#include "cli/parser.h"
#include "cli/stop_signals.h"
#include "resnet/version.h"

namespace resnet::cli {
namespace {

std::string version_text() {
  std::string isa = "none";
  try {
    isa = name_of(best_isa());
  } catch (const ConfigError&) {
    isa = "none that the engine serves (AVX2 is needed)";
  }
  return fmt::format("resnet {}\ninstruction set: {}\nlibraries: Highway, zlib, fmt {}.{}.{}, {}", kVersion,
                     isa, FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100, parser_version());
}

// Exit codes of an error: 2 for a value that a flag cannot take, 1 for a file, the data or the machine.
int exit_code_of(const Error& error) {
  const bool value = dynamic_cast<const ConfigError*>(&error) != nullptr ||
                     dynamic_cast<const ShapeError*>(&error) != nullptr;
  return value ? kBadValue : kFailed;
}

void check_results_written() {
  std::cout.flush();
  if (!std::cout || std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw IoError("the results could not be written to stdout", "is the disk full, or the reader gone?");
  }
}

int run_command(const Invocation& invocation) {
  Command& command = *invocation.command;
  if (!invocation.before.empty()) {
    const std::string& word = invocation.before.front();
    throw ConfigError(fmt::format("'{}' does not belong before the command", word),
                      fmt::format("write it after the command: resnet {} {}", command.name(), word));
  }
  command.check_rest(invocation.rest);
  return command.run();
}

int run(int argc, char** argv) {
  const Program program = {
      kDescription,
      "resnet help COMMAND shows the flags of a command. Exit codes: 0 done; 1 a file, the data\n"
      "or the machine failed; 2 a flag cannot take its value; 129, 130, 138, 143 interrupted\n"
      "(the last line on stderr says what was saved).",
      version_text()};
  Commands commands = make_commands();
  const std::vector<std::string> names = names_of(commands);
  commands.push_back(make_manual(commands));
  const Invocation invocation = parse(program, commands, argc, argv);
  if (invocation.answered) return kDone;
  if (invocation.command != nullptr) return run_command(invocation);
  if (invocation.before.empty()) {
    fmt::print("{}", invocation.help);
    return kDone;
  }
  const std::string& word = invocation.before.front();
  std::string hint = hint_for_foreign(word.substr(std::min(word.find_first_not_of('-'), word.size())));
  if (hint.empty() && word.starts_with('-')) {
    hint =
        fmt::format("flags stand after a command: resnet COMMAND {}; resnet --help lists the commands", word);
  } else if (hint.empty()) {
    const std::string near = nearest(word, names);
    hint = near.empty() ? "resnet --help lists them" : fmt::format("did you mean resnet {}?", near);
  }
  throw ConfigError(fmt::format("there is no {} '{}'", word.starts_with('-') ? "flag" : "command", word),
                    hint);
}

// Results that were lost on their way to stdout are an error, whichever command gave them.
int run_to_stdout(int argc, char** argv) {
  try {
    const int code = run(argc, argv);
    if (stop_signal() != SIGHUP) check_results_written();  // a terminal that is closed takes nothing any more
    return code;
  } catch (const std::system_error&) {  // from fmt::print; the library throws errors of its own
    check_results_written();
    throw;
  }
}

// A file that is opened must not become standard input, output or error where the caller closed that: it
// would get what is meant for people. What stands in for it can neither be read nor written.
void open_missing_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0 && errno == EBADF)
      static_cast<void>(::open("/", O_RDONLY | O_DIRECTORY));
  }
}

// An error in two lines; std::bad_alloc is the caller's.
int run_and_report(int argc, char** argv) {
  try {
    return run_to_stdout(argc, argv);
  } catch (const Error& error) {
    report(error.what(), error.hint());
    return exit_code_of(error);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    report(error.what(), "");
    return kFailed;
  }
}

}  // namespace
}  // namespace resnet::cli

int main(int argc, char** argv) {
  using namespace resnet;
  cli::open_missing_streams();
  cli::end_at_signals();
#ifdef SIGXFSZ
  std::signal(SIGXFSZ, SIG_IGN);  // a limit of file size is an error like a full disk
#endif
  try {
    return cli::run_and_report(argc, argv);
  } catch (const std::bad_alloc&) {  // also of a report: this one takes no memory
    std::fputs(
        "resnet: the machine has not enough memory\n"
        "hint: a smaller --batch-size or --resize needs less\n",
        stderr);
    return cli::kFailed;
  }
}

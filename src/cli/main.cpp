// The program `resnet`: thin commands over the library. An error becomes one line of what, one line of
// hint, and an exit code.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>

#include "base/machine.h"
#include "base/nearest.h"
#include "cli/command.h"
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
  return fmt::format("resnet {}\ninstruction set: {}\nlibraries: Highway, zlib, fmt {}.{}.{}, CLI11 {}",
                     kVersion, isa, FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100,
                     CLI11_VERSION);
}

// Exit codes of an error: 2 for a value that a flag cannot take, 1 for a file, the data or the machine.
int exit_code_of(const Error& error) {
  const bool value = dynamic_cast<const ConfigError*>(&error) != nullptr ||
                     dynamic_cast<const ShapeError*>(&error) != nullptr;
  return value ? kBadValue : kFailed;
}

int run(int argc, char** argv) {
  CLI::App program{"Trains, measures, inspects and ships residual networks, natively on the CPU.", "resnet"};
  program.set_version_flag("--version", version_text());
  program.require_subcommand(0, 1);
  program.allow_extras();
  program.get_formatter()->column_width(34);
  program.footer(
      "resnet COMMAND --help shows the flags of a command. Exit codes: 0 done; 1 a file, the data\n"
      "or the machine failed; 2 a flag cannot take its value; 129, 130, 143 interrupted after saving.");
  std::vector<std::unique_ptr<Command>> commands;
  for (const auto make : {make_train, make_eval, make_summary, make_plan, make_bench, make_plot}) {
    commands.push_back(make(program));
  }
  const std::unique_ptr<Command> manual = make_manual(program, commands);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    throw ConfigError(error.what(), "resnet --help shows what there is");
  }
  const auto chosen = [](const std::unique_ptr<Command>& command) { return command->app().parsed(); };
  const auto found = std::find_if(commands.begin(), commands.end(), chosen);
  if (found != commands.end() || chosen(manual)) {
    Command& command = found != commands.end() ? **found : *manual;
    if (const std::vector<std::string> before = program.remaining(); !before.empty()) {
      throw ConfigError(
          fmt::format("'{}' does not belong before the command", before.front()),
          fmt::format("write it behind it: resnet {} {}", command.app().get_name(), before.front()));
    }
    command.check_rest();
    const int code = command.run();
    std::cout.flush();
    if (!std::cout || std::fflush(stdout) != 0) {
      throw IoError("the results could not be written to stdout", "is the disk full, or the reader gone?");
    }
    return code;
  }
  const std::vector<std::string> rest = program.remaining();
  if (rest.empty()) {
    fmt::print("{}", program.help());
    return kDone;
  }
  std::vector<std::string> names;
  for (const auto& command : commands) names.push_back(command->app().get_name());
  const std::string near = nearest(rest.front(), names);
  throw ConfigError(fmt::format("there is no command '{}'", rest.front()),
                    near.empty() ? "resnet --help lists them" : fmt::format("did you mean resnet {}?", near));
}

}  // namespace
}  // namespace resnet::cli

int main(int argc, char** argv) {
  using namespace resnet;
#ifdef SIGXFSZ
  std::signal(SIGXFSZ, SIG_IGN);  // a limit of file size is an error like a full disk
#endif
  try {
    return cli::run(argc, argv);
  } catch (const Error& error) {
    cli::report(error.what(), error.hint());
    return cli::exit_code_of(error);
  } catch (const std::bad_alloc&) {
    cli::report("the machine has not enough memory", "a smaller --batch-size or --resize needs less");
    return cli::kFailed;
  } catch (const std::exception& error) {
    cli::report(error.what(), "");
    return cli::kFailed;
  }
}
